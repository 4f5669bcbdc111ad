"""Metrics: the integer costs by which configurations are counted, compared and chosen.

Each is a sum of params, feature-map elements, FLOPs and factors with fixed integer weights, so it is affine in each
single rank and equals intercept + slope * k along a rank line. All metrics are listed in ``METRICS``; adding one takes
one object there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import one_of

REDUCTION = "_reduction"
"""Suffix of a window's name that makes it a window on the saved fraction of a metric."""

T = TypeVar("T")


@dataclass(frozen=True)
class Metric:
    """A metric with its weights.

    name: as users write it;
    title: as it reads in a sentence or on a figure's axis;
    heading: the title with what it measures and its unit;
    params, fm, flops, factor: the weights of the sum;
    bytes_per_element: multiplies the sum of a metric that counts bytes.

    Raises ValueError if the metric would not rise with every rank.
    """

    name: str
    title: str
    heading: str
    params: int = 0
    fm: int = 0
    flops: int = 0
    factor: int = 0
    bytes_per_element: int | None = None

    def __post_init__(self) -> None:
        weights = (self.params, self.fm, self.flops, self.factor)
        if min(weights) < 0 or not any(weights[:3]):
            raise ValueError(f"metric '{self.name}' must count params, fm or FLOPs, with weights from 0 up")

    def of(self, cost: Cost) -> int:
        """The exact value at a cost."""
        return int(self.combined(cost.params, cost.fm, cost.flops, cost.factors))

    def titled(self, title: str, cost: Cost) -> str:
        """A title for the value at a cost: with "at least" where that lacks what some layers add."""
        return title if cost.is_whole or not (self.fm or self.flops) else f"{title}, at least"

    def combined(self, params: T, fm: T, flops: T, factors: Any) -> T:
        """The weighted sum of numbers, arrays, data-frame columns or SQL columns."""
        pairs: list[tuple[int, Any]] = [
            (self.params, params), (self.fm, fm), (self.flops, flops), (self.factor, factors)
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

METRICS = {one.name: one for one in (PARAMS, FM, FLOPS, MEMORY)}


def metric(name: str, bytes_per_element: int = 4, what: str = "metric") -> Metric:
    """The metric of that name, with this many bytes per element. Raises UserError, which calls it ``what``."""
    if name not in METRICS:
        raise one_of(what, name, list(METRICS))
    return METRICS[name].at(bytes_per_element)
