"""The lines of a space, recomputed and narrowed in memory.

For errors, which SQL doesn't know, and for many queries on one space, which take milliseconds this way. Gives the same
answers as ``StoredLines``, over the same configurations in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from rankline.src.db.queries.configurations import NAMES, expanded
from rankline.src.db.queries.levels import Spans
from rankline.src.db.queries.line_windows import RANKS
from rankline.src.db.queries.place import Place
from rankline.src.db.queries.windows import Window
from rankline.src.dse.error_table import Spectrum
from rankline.src.dse.lines import Integers, Lines, lines_of
from rankline.src.dse.metric import FLOPS, Metric
from rankline.src.dse.scan.front import front, front_of_many, least_error, with_errors, within_errors
from rankline.src.dse.scan.intervals import Narrowed, narrowed
from rankline.src.dse.scan.select import sample
from rankline.src.dse.space import Space

if TYPE_CHECKING:
    import pandas as pd

CHUNK_LINES = 1024
"""Number of lines listed at a time."""

KEPT = 24
"""Number of spaces whose lines stay in memory; a space of 262,144 lines takes 25 MB, and each of its sets in use 20 MB
more."""


@lru_cache(maxsize=KEPT)
def _sets(space: Space) -> _Sets:
    return _Sets(tuple(lines_of(space)))


class _Sets(dict[str, Narrowed]):
    """The configurations of a space by the name of a set, narrowed on first use."""

    def __init__(self, lines: tuple[Lines, ...]) -> None:
        super().__init__()
        self.lines = lines

    def __missing__(self, chosen: str) -> Narrowed:
        self[chosen] = narrowed(self.lines, chosen)
        return self[chosen]


class ScannedLines:
    """Counts and picks over the configurations; with a ``spectrum``, over those whose error is known and within bounds.

    ``least_error`` and ``front`` need the spectrum.
    """

    def __init__(
        self,
        space: Space,
        spectrum: Spectrum | None,
        chosen: str,
        windows: Sequence[Window],
        errors: tuple[float | None, float | None] = (None, None),
    ) -> None:
        found = _sets(space)[chosen]
        for one in windows:
            found = found.between(*_interval(*found.along(one.metric), one))
        self.found = found
        if spectrum is not None:
            self.found, self.curves = within_errors(*with_errors(found, spectrum), *errors)

    def count(self) -> int:
        """Number of configurations."""
        return self.found.count

    def extreme(self, metric: Metric, highest: bool) -> int | None:
        """The highest or lowest value of a metric; None if there is no configuration."""
        if not len(self.found.lo):
            return None
        values = self._ends(metric, highest)
        return int(values.max() if highest else values.min())

    def pick(self, metric: Metric, highest: bool) -> Place | None:
        """The configuration with the highest or lowest metric, ties by ``Place.order``."""
        best = self.extreme(metric, highest)
        if best is None:
            return None
        ks = self.found.hi if highest else self.found.lo
        lines = np.flatnonzero(self._ends(metric, highest) == best)
        return min((self._place(line, ks[line]) for line in lines.tolist()), key=lambda place: place.order)

    def summary(self, metric: Metric) -> tuple[int, Place | None, Place | None]:
        """``count``, and ``pick`` of the lowest and of the highest."""
        return self.count(), self.pick(metric, highest=False), self.pick(metric, highest=True)

    def least_error(self) -> Place | None:
        """The configuration with the least error; ties by ``Place.order``."""
        places = (self._place(*place) for place in least_error(self.found, self.curves))
        return min(places, key=lambda place: place.order, default=None)

    def front(self, metrics: Sequence[Metric]) -> list[Place]:
        """The front of error against the costs, cheapest first (see ``dse.scan.front``)."""
        if len(metrics) == 1:
            places = front(self.found, self.curves, metrics[0])
        else:
            places = front_of_many(self.found, self.curves, metrics)
        return [self._place(*place) for place in places]

    def random(self, n: int, seed: int) -> list[Place]:
        """A uniform sample of up to n distinct configurations, in random order."""
        return [self._place(*place) for place in sample(self.found, n, seed)]

    def spans(self, metric: Metric) -> Spans:
        """Every line's interval of k, with a metric and the FLOPs along it."""
        return Spans(self.found.lo, self.found.hi, *self.found.along(metric), *self.found.along(FLOPS))

    def frames(self, size: int) -> Iterator[pd.DataFrame]:
        """All configurations as data frames of about ``size`` rows: shape, r1..r4, params, fm, flops."""
        found = self.found
        ends = np.cumsum(found.hi - found.lo + 1)
        first = 0
        while first < len(ends):
            past = ends[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(ends, past + size, side="right")))
            yield expanded(self._table(np.arange(first, min(last, first + CHUNK_LINES, len(ends)))))
            first = min(last, first + CHUNK_LINES, len(ends))

    def _ends(self, metric: Metric, highest: bool) -> Integers:
        intercept, slope = self.found.along(metric)
        return intercept + slope * (self.found.hi if highest else self.found.lo)

    def _place(self, line: int, k: int) -> Place:
        return Place(self.found.configuration(line, k), self.found.cost(line, k))

    def _table(self, lines: Integers) -> pd.DataFrame:
        import pandas as pd

        found = self.found
        rows = []
        for line in lines.tolist():
            part = found.lines[found.part[line]]
            ranks = [*part.ranks[found.row[line]].tolist(), *[None] * len(RANKS)][: len(RANKS)]
            ranks[part.free] = None
            ends = int(found.lo[line]), int(found.hi[line])
            rows.append([part.shape, *ranks, part.free + 1, part.step, *found.coefficients[line].tolist(), *ends])
        return pd.DataFrame(rows, columns=NAMES)


def _interval(intercept: Integers, slope: Integers, one: Window) -> tuple[Integers, Integers]:
    """The first and last k of each line in a window (see ``db.queries.line_windows``)."""
    widest = np.iinfo(np.int64)
    lo = np.zeros_like(intercept) if one.low is None else -((intercept - one.low) // slope)
    hi = np.full_like(intercept, widest.max) if one.high is None else (one.high - intercept) // slope
    return lo, hi
