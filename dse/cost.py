"""What a layer or network costs for one sample."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cost:
    """Params, feature-map elements and FLOPs (2 x multiply-accumulates) of one sample.

    factors: number of layers in the chain; is_whole: False if the FLOPs or feature maps of some layers are unknown and
    not in the sums, which are then "at least" that (see ``Metric.titled``); latency: picoseconds on a device, None if
    no device was asked; stored: bytes in a runtime's file, None if no precision was asked. The four are ignored when
    costs are compared.
    """

    params: int
    fm: int
    flops: int
    factors: int = field(default=1, compare=False)
    is_whole: bool = field(default=True, compare=False)
    latency: int | None = field(default=None, compare=False)
    stored: int | None = field(default=None, compare=False)

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.params + other.params,
            self.fm + other.fm,
            self.flops + other.flops,
            self.factors + other.factors,
            self.is_whole and other.is_whole,
            None if self.latency is None or other.latency is None else self.latency + other.latency,
            None if self.stored is None or other.stored is None else self.stored + other.stored,
        )

    def __sub__(self, other: Cost) -> Cost:
        return Cost(
            self.params - other.params,
            self.fm - other.fm,
            self.flops - other.flops,
            self.factors - other.factors,
            self.is_whole and other.is_whole,
            None if self.latency is None or other.latency is None else self.latency - other.latency,
            None if self.stored is None or other.stored is None else self.stored - other.stored,
        )


NOTHING = Cost(0, 0, 0, 0, latency=0, stored=0)


def total(costs: Iterable[Cost]) -> Cost:
    """The sum of the costs."""
    return sum(costs, NOTHING)
