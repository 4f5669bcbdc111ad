"""Windows on metrics: what a user asks for, as exact integer bounds on a line's coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.formula import Cost

Number = int | float | str | Fraction
Bounds = tuple[Number | None, Number | None]

METRICS = {"params": "p", "fm": "m", "flops": "f", "memory": "pm"}
"""Each metric as a sum over a line's coefficients p (params), m (feature maps) and f (FLOPs); memory is in
elements here, and multiplied by the bytes per element where users see it."""

REDUCTION = "_reduction"

LARGEST = 10**18
"""Of a bound: what is compared with counts in the database must fit into 64 bits."""


@dataclass(frozen=True)
class Window:
    """``low <= metric <= high`` in whole units (memory: elements); None is an open end.

    ``level`` is the value at which the window starts from the side of the original, the highest metric that
    it allows: what ``equal_rank`` aims at.
    """

    metric: str
    low: int | None
    high: int | None
    level: Fraction | None = None


def metric_of(cost: Cost, metric: str) -> int:
    """The metric's value in whole units (memory: elements)."""
    values = {"p": cost.params, "m": cost.fm, "f": cost.flops}
    return sum(values[key] for key in METRICS[metric])


def window(name: str, bounds: Bounds, original: Cost, bytes_per_element: int) -> Window:
    """The window of ``name=(low, high)``, exact.

    On params, fm, flops and memory (bytes) both ends are included. On a reduction, a fraction of the
    original's value, it is low <= reduction < high; negative reductions are growth.
    Raises UserError on an unknown name, on bounds that are no pair of numbers, and on an empty window.
    """
    metric = name.removesuffix(REDUCTION)
    if metric not in METRICS:
        raise one_of("window", name, [*METRICS, *(metric + REDUCTION for metric in METRICS), "error"])
    low, high = _pair(name, bounds)
    whole = metric_of(original, metric) if name.endswith(REDUCTION) else 1
    if any(bound is not None and abs(bound) * whole >= LARGEST for bound in (low, high)):
        raise UserError(f"{name}=({bounds[0]}, {bounds[1]}) is beyond what any count can be; give numbers of its size")
    if low is not None and high is not None and (low >= high if name.endswith(REDUCTION) else low > high):
        raise UserError(
            f"the window {name}=({bounds[0]}, {bounds[1]}) is empty: it needs low "
            f"{'<' if name.endswith(REDUCTION) else '<='} high"
        )
    if not name.endswith(REDUCTION):
        scale = bytes_per_element if metric == "memory" else 1
        top = None if high is None else high / scale
        return Window(metric, None if low is None else ceil(low / scale), None if top is None else floor(top), top)
    if low is not None and low > 1:
        raise UserError(f"{name} starts at {bounds[0]}; reductions are fractions below 1, such as 0.6 for 60 %")
    top = None if low is None else whole * (1 - low)
    return Window(
        metric,
        None if high is None else floor(whole * (1 - high)) + 1,
        None if top is None else floor(top),
        top,
    )


def error_window(bounds: Bounds) -> tuple[float | None, float | None]:
    """The bounds of ``error=(low, high)``, both included. Raises UserError where they are no window."""
    low, high = _pair("error", bounds)
    if (low is not None and low < 0) or (high is not None and high < 0):
        raise UserError(f"error={bounds}: errors are relative, from 0 up; such as (None, 0.05) for at most 5 %")
    if low is not None and high is not None and low > high:
        raise UserError(f"the window error=({bounds[0]}, {bounds[1]}) is empty: it needs low <= high")
    return None if low is None else float(low), None if high is None else float(high)


def _pair(name: str, bounds: Bounds) -> tuple[Fraction | None, Fraction | None]:
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise UserError(f"{name} takes a pair (low, high), None for an open end; got {bounds!r}")
    low, high = (None if bound is None else _exact(name, bound) for bound in bounds)
    return low, high


def _exact(name: str, bound: Number) -> Fraction:
    """The number as the user wrote it: 0.6 is 3/5, not the nearest double."""
    try:
        return Fraction(str(bound))
    except (ValueError, ZeroDivisionError):
        raise UserError(f"{name}: {bound!r} is not a number") from None
