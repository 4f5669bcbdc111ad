"""The lines of a space in the database, narrowed by SQL to a set and windows."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Engine, Row, Select, func, select

from rankline.src.db.queries.configurations import batches_of, pick
from rankline.src.db.queries.equal_ranks import equal_ks, equal_lines, nearest
from rankline.src.db.queries.levels import Spans
from rankline.src.db.queries.line_windows import RANKS, along, intervals, tie_break, total, value_at
from rankline.src.db.queries.parts import parts, run
from rankline.src.db.queries.place import Place
from rankline.src.db.queries.windows import Window
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.metric import Metric
from rankline.src.dse.space import Space

if TYPE_CHECKING:
    import pandas as pd


class StoredLines:
    """Counts and picks over the lines of a space, without loading them where SQL can answer."""

    def __init__(
        self, engine: Engine, space: Space, id: int, n_lines: int, chosen: str, windows: Sequence[Window]
    ) -> None:
        self.engine = engine
        self.space = space
        self.id = id
        self.n_lines = n_lines
        self.lines = intervals(chosen, windows, space)

    def count(self) -> int:
        """Number of configurations."""
        return sum(row[0] for row in self._rows(select(total(self.lines))))

    def extreme(self, metric: Metric, highest: bool) -> int | None:
        """The highest or lowest value of a metric; None if there is no configuration."""
        lines = self.lines
        best, choose = (func.max, max) if highest else (func.min, min)
        value = value_at(lines, metric, lines.c.hi if highest else lines.c.lo, self.space)
        rows = self._rows(select(best(value)).where(lines.c.hi >= lines.c.lo))
        return choose((row[0] for row in rows if row[0] is not None), default=None)

    def pick(self, metric: Metric, highest: bool) -> Place | None:
        """The configuration with the highest or lowest metric; ties by ``Place.order``.

        First the extreme, then the order among those that have it, because sorting all of them would take longer. Every
        slope is positive, so only the last or first k of a line can be the extreme.
        """
        best = self.extreme(metric, highest)
        return None if best is None else self._pick_at(metric, highest, best)

    def summary(self, metric: Metric) -> tuple[int, Place | None, Place | None]:
        """``count``, and ``pick`` of the lowest and of the highest, faster than the three calls."""
        columns = [column.label(f"v{degree}") for degree, column in enumerate(along(self.lines, metric, self.space))]
        # The offset makes SQLite compute lo and hi once per line, not at every mention.
        ends = select(self.lines.c.lo, self.lines.c.hi, *columns).offset(0).subquery()
        low, high = ends.c.v0 + ends.c.v1 * ends.c.lo, ends.c.v0 + ends.c.v1 * ends.c.hi
        query = select(func.sum(ends.c.hi - ends.c.lo + 1), func.min(low), func.max(high)).where(ends.c.hi >= ends.c.lo)
        found = [tuple(row) for row in self._rows(query) if row[0]]
        if not found:
            return 0, None, None
        counts, lowest, highest = zip(*found, strict=True)
        picks = self._pick_at(metric, False, min(lowest)), self._pick_at(metric, True, max(highest))
        return int(sum(counts)), *picks

    def _pick_at(self, metric: Metric, highest: bool, best: int) -> Place | None:
        """The first by ``Place.order`` among those with the given extreme of a metric."""
        lines = self.lines
        k = lines.c.hi if highest else lines.c.lo
        is_best = value_at(lines, metric, k, self.space) == best
        equals = select(lines, k.label("k")).where(is_best, lines.c.hi >= lines.c.lo)
        rows = self._rows(equals.order_by(*tie_break(lines, k)).limit(1))
        return min((self._place(row, row.k) for row in rows), key=lambda place: place.order, default=None)

    def nearest_equal(self, metric: Metric, level: Fraction) -> Place | None:
        """The configuration with all ranks equal whose metric is nearest to the level; None if ranks can't be equal."""
        places = []
        for row in self._rows(equal_lines(self.lines)):
            ks = range(row.lo, row.hi + 1)
            found = equal_ks(row.fixed, row.step, ks, partial(self._value, metric, row), level)
            places += [self._place(row, k) for k in found]
        return nearest(places, metric, level)

    def _value(self, metric: Metric, row: Row[Any], k: int) -> int:
        return metric.of(self._place(row, k).cost)

    def random(self, n: int, seed: int) -> list[Place]:
        """A uniform sample of up to n distinct configurations, in random order."""

        def choose(count: int) -> list[int]:
            return random.Random(seed).sample(range(count), min(n, count))

        return [self._place(row, k) for row, k in pick(self._run, self.lines, self.n_lines, choose)]

    def spans(self, metric: Metric) -> Spans:
        """Every line's interval of k, with a metric and the FLOPs along it."""
        from rankline.src.dse.scan.along import Along  # numba: only where levels are asked for

        lines = self.lines
        columns = (*along(lines, metric, self.space), lines.c.f0, lines.c.f1)
        rows = self._rows(select(lines.c.lo, lines.c.hi, *columns).where(lines.c.hi >= lines.c.lo))
        table = np.ascontiguousarray(np.array([tuple(row) for row in rows], np.int64).reshape(-1, 6).T)
        lo, hi, start, slope, flops_start, flops_slope = table
        none = np.zeros_like(lo)
        return Spans(lo, hi, Along(start, slope, none), Along(flops_start, flops_slope, none))

    def frames(self, size: int) -> Iterator[pd.DataFrame]:
        """All configurations as data frames of about ``size`` rows: shape, r1..r4, params, fm, flops."""
        return batches_of(self._run, self.lines, self.n_lines, size)

    def _run(self, query: Select[Any], pieces: Sequence[range]) -> list[Sequence[Row[Any]]]:
        return run(self.engine, query, self.id, pieces)

    def _rows(self, query: Select[Any]) -> list[Row[Any]]:
        """The query's rows over all lines, in parts; sums, extremes and limits still have to be combined."""
        found = self._run(query, parts(self.n_lines))
        return [row for rows in found for row in rows]

    def _place(self, row: Row[Any], k: int) -> Place:
        """The configuration at k on a line."""
        ranks = (row.step * k if row.free == j else row._mapping[name] for j, name in enumerate(RANKS, start=1))
        found = Configuration(self.space.method, tuple(r for r in ranks if r is not None), row.shape)
        factors = self.space.factors(row.shape)
        return Place(found, Cost(row.p0 + row.p1 * k, row.m0 + row.m1 * k, row.f0 + row.f1 * k, factors))
