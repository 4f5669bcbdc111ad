"""Lines narrowed to a set and to limits: the interval of k on each line, by integer arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import one_of
from rankline.src.dse.lines import Integers, Lines
from rankline.src.dse.metric import Metric
from rankline.src.dse.scan.along import Along, along

SETS = ("all", "better", "useful")

Limits = Mapping[Metric, tuple[int | None, int | None]]
"""Inclusive bounds (low, high) by metric; None is an open end."""


@dataclass(frozen=True)
class Narrowed:
    """The lines with configurations left, over all branches of a space.

    part, row: (lines,), the index of the ``Lines`` that a line is from, and its row there;
    coefficients: (lines, 6), or (lines, 9) with the latency (see ``Lines``);
    lo, hi: (lines,), the first and last k.
    """

    lines: tuple[Lines, ...]
    part: Integers
    row: Integers
    coefficients: Integers
    lo: Integers
    hi: Integers

    @property
    def count(self) -> int:
        """Number of configurations on the lines."""
        return int((self.hi - self.lo + 1).sum())

    @property
    def is_timed(self) -> bool:
        """Whether latencies are known."""
        return len(self.coefficients.T) == 9

    @property
    def largest_rank(self) -> int:
        """The largest rank of any configuration on the lines, of which there must be some."""
        ranks = [int(self.lines[part].ranks[self.row[self.part == part]].max()) for part in np.unique(self.part)]
        steps = np.array([part.step for part in self.lines], np.int64)[self.part]
        return max(*ranks, int((steps * self.hi).max()))

    def along(self, metric: Metric) -> Along:
        """A metric on each line. Raises UserError where it needs a device and the space is not timed."""
        factors = np.array([part.factors for part in self.lines], np.int64)[self.part] if metric.factor else 0
        tiled = (self.lines[0].step, self.lines[0].tile) if self.lines else (1, 1)
        return along(self.coefficients.T, metric, factors, *tiled)

    def where(self, metric: Metric, low: int | None, high: int | None) -> Narrowed:
        """Narrowed further to low <= metric <= high; None is an open end."""
        return self.between(*self.along(metric).within(self.lo, self.hi, low, high))

    def between(self, lo: Integers, hi: Integers) -> Narrowed:
        """Narrowed further to lo <= k <= hi, with bounds for each line."""
        lo, hi = np.maximum(self.lo, lo), np.minimum(self.hi, hi)
        left = np.flatnonzero(lo <= hi)
        return Narrowed(self.lines, self.part[left], self.row[left], self.coefficients[left], lo[left], hi[left])

    def configuration(self, line: int, k: int) -> Configuration:
        """The configuration at k on a line."""
        part = self.lines[self.part[line]]
        ranks = part.ranks[self.row[line]].tolist()
        ranks[part.free] = part.step * int(k)
        return Configuration(part.method, tuple(ranks), part.shape)

    def cost(self, line: int, k: int) -> Cost:
        """The cost of that configuration."""
        p0, p1, m0, m1, f0, f1, *times = self.coefficients[line].tolist()
        k, part = int(k), self.lines[self.part[line]]
        latency = None
        if times:
            start, slope, rise = times
            latency = start + slope * k - rise * (-part.step * k // part.tile)
        return Cost(p0 + p1 * k, m0 + m1 * k, f0 + f1 * k, part.factors, latency=latency)


def narrowed(lines: Iterable[Lines], chosen: str = "useful", limits: Limits | None = None) -> Narrowed:
    """The configurations of a set (all, better or useful) within the limits. Raises UserError on an unknown set."""
    if chosen not in SETS:
        raise one_of("set", chosen, list(SETS))
    parts = tuple(lines)
    columns: list[list[Integers]] = [[np.zeros(0, np.int64)] for _ in range(4)]
    tables = [np.zeros((0, parts[0].coefficients.shape[1] if parts else 9), np.int64)]
    for number, part in enumerate(parts):
        lo, hi = _ends(part, chosen)
        rows = np.flatnonzero(lo <= hi)
        for column, values in zip(columns, (np.full(len(rows), number), rows, lo[rows], hi[rows]), strict=True):
            column.append(values)
        tables.append(part.coefficients[rows])
    part_of, row, lo, hi = (np.concatenate(column) for column in columns)
    found = Narrowed(parts, part_of, row, np.concatenate(tables), lo, hi)
    for metric, bounds in (limits or {}).items():
        found = found.where(metric, *bounds)
    return found


def _ends(part: Lines, chosen: str) -> tuple[Integers, Integers]:
    ones = np.ones(len(part), np.int64)
    if chosen == "useful":
        return part.useful[:, 0], part.useful[:, 1]
    return ones, part.better if chosen == "better" else np.full(len(part), part.cap)
