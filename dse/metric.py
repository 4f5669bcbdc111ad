"""Metrics: the integer costs by which configurations are counted, compared and chosen.

Each is a sum of params, feature-map elements, FLOPs, factors, a device's latency and a file's bytes with fixed integer
weights. None falls as a rank rises: along a rank line each step adds the same, and each tile that begins adds to the
latency (see ``dse.scan.along``). All metrics are listed in ``METRICS``; adding one takes one object there.
"""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeVar

from rankline.src.dse.cost import Cost
from rankline.src.dse.duration import duration_text, picoseconds
from rankline.src.dse.errors import UserError, one_of, short

REDUCTION = "_reduction"
"""Suffix of a window's name that makes it a window on the saved fraction of a metric."""

Number = int | float | str | Fraction

T = TypeVar("T")


@dataclass(frozen=True)
class Metric:
    """A metric with its weights.

    name: as users write it;
    title: as it reads in a sentence or on a figure's axis;
    heading: the title with what it measures and its unit;
    params, fm, flops, factor, latency, stored: the weights of the sum;
    bytes_per_element: multiplies the sum of a metric that counts bytes.

    A metric with latency is in picoseconds, and needs a device. Raises ValueError if the metric would not rise with
    every rank.
    """

    name: str
    title: str
    heading: str
    params: int = 0
    fm: int = 0
    flops: int = 0
    factor: int = 0
    latency: int = 0
    stored: int = 0
    bytes_per_element: int | None = None

    def __post_init__(self) -> None:
        weights = (self.params, self.fm, self.flops, self.latency, self.stored, self.factor)
        if min(weights) < 0 or not any(weights[:5]):
            raise ValueError(
                f"metric '{self.name}' must count params, fm, FLOPs, latency or bytes, with weights from 0 up"
            )

    @property
    def needs_device(self) -> bool:
        """Whether only a device gives it a value."""
        return self.latency > 0

    def is_known(self, cost: Cost) -> bool:
        """Whether it has a value at a cost."""
        return (cost.latency is not None or not self.latency) and (cost.stored is not None or not self.stored)

    def of(self, cost: Cost) -> int:
        """The exact value at a cost. Raises UserError where it needs a device, or a precision, and none was asked."""
        return int(self.combined(cost.params, cost.fm, cost.flops, cost.factors, cost.latency, cost.stored))

    def titled(self, title: str, cost: Cost) -> str:
        """A title for the value at a cost: with "at least" where that lacks what some layers add."""
        return title if cost.is_whole or not (self.fm or self.flops or self.latency) else f"{title}, at least"

    def text(self, value: int) -> str:
        """A value as people read it."""
        return duration_text(value) if self.needs_device else f"{value:,}"

    def number(self, given: Number) -> Fraction:
        """A value as a user gives it, exact: 0.6 is 3/5, not the nearest double.

        A text of a latency has a unit, such as ``200us``; numbers are picoseconds. Raises UserError.
        """
        if self.needs_device and isinstance(given, str):
            return picoseconds(given)
        return exact(given)

    def combined(self, params: T, fm: T, flops: T, factors: Any, latency: Any = None, stored: Any = None) -> T:
        """The weighted sum of numbers, arrays, data-frame columns or SQL columns. Raises UserError as ``of``."""
        if self.needs_device and latency is None:
            raise UserError(f"{self.name} needs a device: choose one with --device NAME (in Python: device=)")
        if self.stored and stored is None:
            raise UserError(f"{self.name} are those of a file at a precision, which only a budget has")
        pairs: list[tuple[int, Any]] = [
            (self.params, params), (self.fm, fm), (self.flops, flops), (self.factor, factors), (self.latency, latency),
            (self.stored, stored),
        ]  # fmt: skip
        terms = [value if weight == 1 else weight * value for weight, value in pairs if weight]
        whole: Any = sum(terms[1:], start=terms[0])
        found: T = whole if self.bytes_per_element is None else self.bytes_per_element * whole
        return found

    def at(self, bytes_per_element: int) -> Metric:
        """The metric with this many bytes per element; a metric that does not count bytes stays the same."""
        return self if self.bytes_per_element is None else replace(self, bytes_per_element=bytes_per_element)

    def reduction(self, cost: Cost, original: Cost) -> float:
        """The saved fraction of the original's value; negative for growth."""
        return 1 - self.of(cost) / self.of(original)


PARAMS = Metric("params", "params", "params", params=1)
FM = Metric("fm", "feature maps", "feature-map elements of one sample", fm=1)
FLOPS = Metric("flops", "FLOPs", "FLOPs of one sample", flops=1)
MEMORY = Metric("memory", "memory", "memory of one sample (bytes)", params=1, fm=1, bytes_per_element=4)

LATENCY = Metric("latency", "latency", "latency of one call (picoseconds)", latency=1)

BYTES = Metric("bytes", "bytes", "bytes of the file", stored=1)

METRICS = {one.name: one for one in (PARAMS, FM, FLOPS, MEMORY, LATENCY)}

BUDGETS = ChainMap(METRICS, {BYTES.name: BYTES})
"""What a budget can limit: all metrics, and the bytes of a file."""


def budget_metric(name: str) -> Metric:
    """The metric of a budget of that name. Raises UserError with the possible ones."""
    if name not in BUDGETS:
        raise one_of("budget", name, list(BUDGETS))
    return BUDGETS[name]


def counted() -> dict[str, Metric]:
    """Those of METRICS that need no device, by name."""
    return {name: one for name, one in METRICS.items() if not one.needs_device}


def metric(name: str, bytes_per_element: int = 4, what: str = "metric") -> Metric:
    """The metric of that name, with this many bytes per element. Raises UserError, which calls it ``what``."""
    if name not in METRICS:
        raise one_of(what, name, list(METRICS))
    return METRICS[name].at(bytes_per_element)


def exact(given: Number) -> Fraction:
    """The number as the user wrote it. Raises UserError."""
    try:
        return Fraction(str(given))
    except (ValueError, ZeroDivisionError):
        raise UserError(f"{short(given)} is not a number") from None
