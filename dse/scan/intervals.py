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

SETS = ("all", "better", "useful")

Limits = Mapping[Metric, tuple[int | None, int | None]]
"""Inclusive bounds (low, high) by metric; None is an open end."""


@dataclass(frozen=True)
class Narrowed:
    """The lines with configurations left, over all branches of a space.

    part, row: (lines,), the index of the ``Lines`` that a line is from, and its row there;
    coefficients: (lines, 6);
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
    def largest_rank(self) -> int:
        """The largest rank of any configuration on the lines, of which there must be some."""
        ranks = [int(self.lines[part].ranks[self.row[self.part == part]].max()) for part in np.unique(self.part)]
        steps = np.array([part.step for part in self.lines], np.int64)[self.part]
        return max(*ranks, int((steps * self.hi).max()))

    def along(self, metric: Metric) -> tuple[Integers, Integers]:
        """Intercept and slope of a metric on each line."""
        factors = np.array([part.factors for part in self.lines], np.int64)[self.part] if metric.factor else 0
        return _along(self.coefficients, metric, factors)

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
        p0, p1, m0, m1, f0, f1 = self.coefficients[line].tolist()
        k = int(k)
        return Cost(p0 + p1 * k, m0 + m1 * k, f0 + f1 * k, self.lines[self.part[line]].factors)


def narrowed(lines: Iterable[Lines], chosen: str = "useful", limits: Limits | None = None) -> Narrowed:
    """The configurations of a set (all, better or useful) within the limits. Raises UserError on an unknown set."""
    if chosen not in SETS:
        raise one_of("set", chosen, list(SETS))
    parts = tuple(lines)
    columns: list[list[Integers]] = [[np.zeros(0, np.int64)] for _ in range(4)]
    tables = [np.zeros((0, 6), np.int64)]
    for number, part in enumerate(parts):
        lo, hi = _ends(part, chosen)
        for metric, (low, high) in (limits or {}).items():
            intercept, slope = _along(part.coefficients, metric, part.factors)
            if low is not None:
                lo = np.maximum(lo, -((intercept - low) // slope))
            if high is not None:
                hi = np.minimum(hi, (high - intercept) // slope)
        rows = np.flatnonzero(lo <= hi)
        for column, values in zip(columns, (np.full(len(rows), number), rows, lo[rows], hi[rows]), strict=True):
            column.append(values)
        tables.append(part.coefficients[rows])
    part_of, row, lo, hi = (np.concatenate(column) for column in columns)
    return Narrowed(parts, part_of, row, np.concatenate(tables), lo, hi)


def _along(coefficients: Integers, metric: Metric, factors: Integers | int) -> tuple[Integers, Integers]:
    p0, p1, m0, m1, f0, f1 = coefficients.T
    intercept, slope = metric.combined(p0, m0, f0, factors), metric.combined(p1, m1, f1, 0)
    return np.ascontiguousarray(intercept), np.ascontiguousarray(slope)


def _ends(part: Lines, chosen: str) -> tuple[Integers, Integers]:
    ones = np.ones(len(part), np.int64)
    if chosen == "useful":
        return part.useful[:, 0], part.useful[:, 1]
    return ones, part.better if chosen == "better" else np.full(len(part), part.cap)
