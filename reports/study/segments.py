"""The configurations of a set as segments of rank lines, k = lo..hi, along which each metric is affine in k."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Engine, select

from rankline.src.db.queries.windows import window
from rankline.src.db.schema import IDS_PER_SPACE, line
from rankline.src.dse.cost import Cost
from rankline.src.dse.lines import COEFFICIENTS, Integers, lines_of
from rankline.src.dse.metric import metric
from rankline.src.dse.scan.along import Along, along
from rankline.src.dse.space import Space

Bounds = tuple[int, int]


@dataclass(frozen=True)
class Range:
    """The number of configurations in a window, and the lowest and highest value of another metric among them."""

    n: int
    lowest: int
    highest: int


@dataclass(frozen=True)
class Segments:
    """lo, hi: (segments,), lo <= hi; coefficients: (6, segments), intercept and slope of params, FM and FLOPs."""

    lo: Integers
    hi: Integers
    coefficients: Integers

    @property
    def count(self) -> int:
        """The number of configurations on the segments."""
        return int((self.hi - self.lo + 1).sum())

    def line(self, name: str) -> Along:
        """A metric that doesn't depend on the number of factors."""
        return along(self.coefficients, metric(name), 0)

    def extremes(self, metric: str) -> Bounds | None:
        """The lowest and highest value of a metric; None without configurations."""
        if not len(self.lo):
            return None
        return self.line(metric).span(self.lo, self.hi)

    def ranges(self, metric: str, windows: Iterable[Bounds], other: str) -> list[Range | None]:
        """The range of the ``other`` metric in each window low <= metric <= high; None if the window is empty."""
        value, ranging = self.line(metric), self.line(other)
        found: list[Range | None] = []
        for low, high in windows:
            first, last = value.within(self.lo, self.hi, low, high)
            inside = np.flatnonzero(first <= last)
            if not len(inside):
                found.append(None)
                continue
            first, last = first[inside], last[inside]
            found.append(Range(int((last - first + 1).sum()), *ranging.of(inside).span(first, last)))
        return found


def computed(space: Space) -> dict[str, Segments]:
    """The better and the useful configurations of a space, from the formulas."""
    parts = list(lines_of(space))
    if not parts:
        return _both(np.zeros((9, 0), np.int64))
    columns = [np.vstack([part.better, part.useful.T, part.coefficients.T]) for part in parts]
    return _both(np.concatenate(columns, axis=1))


def stored(engine: Engine, space: int) -> dict[str, Segments]:
    """The better and the useful configurations of a space in the database, by its id."""
    columns = [line.c[name] for name in ("better", "use_lo", "use_hi", *COEFFICIENTS)]
    query = select(*columns).where(line.c.id.between(space * IDS_PER_SPACE, (space + 1) * IDS_PER_SPACE - 1))
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
    return _both(np.array(rows, np.int64).reshape(-1, 9).T)


def level_bounds(metric: str, original: Cost, levels: Sequence[tuple[str, str]]) -> list[Bounds]:
    """Integer bounds of a metric for each window low <= reduction < high."""
    windows = [window(f"{metric}_reduction", pair, original, 4) for pair in levels]
    return [(one.low or 0, one.high or 0) for one in windows]


def _both(columns: Integers) -> dict[str, Segments]:
    """The better and useful segments; columns (9, lines): last better k, first and last useful k, coefficients."""
    better, first, last = columns[:3]
    ends = {"better": (np.ones_like(better), better), "useful": (first, last)}
    found = {}
    for name, (lo, hi) in ends.items():
        inside = lo <= hi
        found[name] = Segments(lo[inside], hi[inside], np.ascontiguousarray(columns[3:, inside]))
    return found
