"""Windows on metrics: a user's bounds as exact integer bounds for a line's coefficients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.metric import METRICS, REDUCTION, Metric, Number, exact, metric

Bounds = tuple[Number | None, Number | None]

LARGEST = 2**63 - 1
"""What is compared with counts in the database must fit into 64 bits."""


@dataclass(frozen=True)
class Window:
    """``low <= metric <= high`` in integers; None is an open end.

    ``level`` is the highest metric that the window allows, its end on the side of the original, which ``equal_rank``
    aims at.
    """

    metric: Metric
    low: int | None
    high: int | None
    level: Fraction | None = None


def window(name: str, bounds: Bounds, original: Cost, bytes_per_element: int) -> Window:
    """The window of ``name=(low, high)``, exact.

    On params, fm, flops, memory (bytes) and latency (picoseconds, or texts with a unit) both ends are included. On a
    reduction, a fraction of the original's value, it is low <= reduction < high; negative reductions are growth. Raises
    UserError on an unknown name, on bounds that are not a pair of numbers, on an empty window, and on latency where
    ``original`` has none.
    """
    if name.removesuffix(REDUCTION) not in METRICS:
        raise one_of("window", name, [*METRICS, *(known + REDUCTION for known in METRICS), "error"])
    base = metric(name.removesuffix(REDUCTION), bytes_per_element)
    is_reduction, whole = name.endswith(REDUCTION), base.of(original)
    low, high = _pair(name, bounds, exact if is_reduction else base.number)
    scale = whole if is_reduction else 1
    if any(bound is not None and abs(bound) * scale > max(LARGEST, 2 * scale) for bound in (low, high)):
        raise UserError(
            f"{name}=({bounds[0]}, {bounds[1]}) is beyond what any count can be; give bounds of the metric's size"
        )
    if low is not None and high is not None and (low >= high if is_reduction else low > high):
        raise UserError(
            f"the window {name}=({bounds[0]}, {bounds[1]}) is empty: it needs low {'<' if is_reduction else '<='} high"
        )
    if not is_reduction:
        return Window(base, _count(low and ceil(low)), _count(high and floor(high)), high)
    if low is not None and low > 1:
        raise UserError(f"{name} starts at {bounds[0]}; reductions are fractions below 1, such as 0.6 for 60 %")
    top = None if low is None else whole * (1 - low)
    return Window(
        base,
        None if high is None else _count(floor(whole * (1 - high)) + 1),
        _count(top and floor(top)),
        top,
    )


def _count(bound: int | Fraction | None) -> int | None:
    """The bound among the numbers that a metric can have: SQL then subtracts counts from it within 64 bits."""
    return None if bound is None else int(min(max(bound, 0), LARGEST))


def error_window(bounds: Bounds) -> tuple[float | None, float | None]:
    """The bounds of ``error=(low, high)``, both included. Raises UserError if they are not a valid window."""
    low, high = _pair("error", bounds)
    if (low is not None and low < 0) or (high is not None and high < 0):
        raise UserError(f"error={bounds}: errors are relative, from 0 up; such as (None, 0.05) for at most 5 %")
    if low is not None and high is not None and low > high:
        raise UserError(f"the window error=({bounds[0]}, {bounds[1]}) is empty: it needs low <= high")
    return None if low is None else float(low), None if high is None else float(high)


def _pair(
    name: str, bounds: Bounds, number: Callable[[Number], Fraction] = exact
) -> tuple[Fraction | None, Fraction | None]:
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise UserError(f"{name} takes a pair (low, high), with None for an open end; got {bounds!r}")
    try:
        low, high = (None if bound is None else number(bound) for bound in bounds)
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
    return low, high
