"""The lines of a space, recomputed and narrowed in memory.

For errors and latencies, which SQL doesn't know, and for many queries on one space, which take milliseconds this way.
Gives the same answers as ``StoredLines``, over the same configurations in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np

from rankline.src.db.queries.configurations import NAMES, expanded
from rankline.src.db.queries.equal_ranks import equal_ks, nearest
from rankline.src.db.queries.levels import Spans
from rankline.src.db.queries.line_windows import RANKS
from rankline.src.db.queries.place import Place
from rankline.src.db.queries.windows import Window
from rankline.src.dse.error_table import Spectrum
from rankline.src.dse.lines import Integers, Lines, lines_of
from rankline.src.dse.metric import FLOPS, LATENCY, Metric
from rankline.src.dse.scan.front import front, front_of_many, least_error, with_errors, within_errors
from rankline.src.dse.scan.intervals import Narrowed, narrowed
from rankline.src.dse.scan.select import sample
from rankline.src.dse.space import Space

if TYPE_CHECKING:
    import pandas as pd

CHUNK_LINES = 1024
"""Number of lines listed at a time."""

KEPT = 24
"""Number of spaces whose lines stay in memory; a space of 262,144 lines takes 25 MB, 31 with latencies, and each of its
sets in use 20 MB more."""


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
            found = found.where(one.metric, one.low, one.high)
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
        return self.found.along(metric).span(self.found.lo, self.found.hi)[highest]

    def pick(self, metric: Metric, highest: bool) -> Place | None:
        """The configuration with the highest or lowest metric, ties by ``Place.order``.

        Each line's first with that value: a latency can be the same for many, and params always rise.
        """
        best = self.extreme(metric, highest)
        if best is None:
            return None
        found = self.found.where(metric, best, best)
        places = (_place(found, line, k) for line, k in enumerate(found.lo))
        return min(places, key=lambda place: place.order)

    def summary(self, metric: Metric) -> tuple[int, Place | None, Place | None]:
        """``count``, and ``pick`` of the lowest and of the highest."""
        return self.count(), self.pick(metric, highest=False), self.pick(metric, highest=True)

    def nearest_equal(self, metric: Metric, level: Fraction) -> Place | None:
        """The configuration with all ranks equal whose metric is nearest to the level; None if ranks can't be equal."""
        found, places = self.found, []
        for number, part in enumerate(found.lines):
            here = np.flatnonzero(found.part == number)
            fixed = np.delete(part.ranks[found.row[here]], part.free, axis=1)
            equal = (fixed == fixed[:, :1]).all(axis=1)
            for line, ranks in zip(here[equal].tolist(), fixed[equal].tolist(), strict=True):
                ks = range(int(found.lo[line]), int(found.hi[line]) + 1)
                same = ranks[0] if ranks else None
                wanted = equal_ks(same, part.step, ks, partial(_value, found, metric, line), level)
                places += [_place(found, line, k) for k in wanted]
        return nearest(places, metric, level)

    def least_error(self) -> Place | None:
        """The configuration with the least error; ties by ``Place.order``."""
        places = (_place(self.found, *place) for place in least_error(self.found, self.curves))
        return min(places, key=lambda place: place.order, default=None)

    def front(self, metrics: Sequence[Metric]) -> list[Place]:
        """The front of error against the costs, cheapest first (see ``dse.scan.front``)."""
        if len(metrics) == 1:
            places = front(self.found, self.curves, metrics[0])
        else:
            places = front_of_many(self.found, self.curves, metrics)
        return [_place(self.found, *place) for place in places]

    def random(self, n: int, seed: int) -> list[Place]:
        """A uniform sample of up to n distinct configurations, in random order."""
        return [_place(self.found, *place) for place in sample(self.found, n, seed)]

    def spans(self, metric: Metric) -> Spans:
        """Every line's interval of k, with a metric and the FLOPs along it."""
        return Spans(self.found.lo, self.found.hi, self.found.along(metric), self.found.along(FLOPS))

    def frames(self, size: int) -> Iterator[pd.DataFrame]:
        """All configurations as data frames of about ``size`` rows: shape, r1..r4, params, fm, flops; with latencies
        also latency (picoseconds)."""
        found = self.found
        latency = found.along(LATENCY) if found.is_timed else None
        ends = np.cumsum(found.hi - found.lo + 1)
        first = 0
        while first < len(ends):
            past = ends[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(ends, past + size, side="right")))
            lines = np.arange(first, min(last, first + CHUNK_LINES, len(ends)))
            yield expanded(self._table(lines), None if latency is None else latency.of(lines))
            first = min(last, first + CHUNK_LINES, len(ends))

    def _table(self, lines: Integers) -> pd.DataFrame:
        import pandas as pd

        found = self.found
        rows = []
        for line in lines.tolist():
            part = found.lines[found.part[line]]
            ranks = [*part.ranks[found.row[line]].tolist(), *[None] * len(RANKS)][: len(RANKS)]
            ranks[part.free] = None
            ends = int(found.lo[line]), int(found.hi[line])
            rows.append([part.shape, *ranks, part.free + 1, part.step, *found.coefficients[line, :6].tolist(), *ends])
        return pd.DataFrame(rows, columns=NAMES)


def _place(found: Narrowed, line: int, k: int) -> Place:
    return Place(found.configuration(line, k), found.cost(line, k))


def _value(found: Narrowed, metric: Metric, line: int, k: int) -> int:
    return metric.of(found.cost(line, k))
