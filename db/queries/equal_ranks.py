"""Configurations whose ranks are all equal."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from sqlalchemy import Select, Subquery, func, select

from rankline.src.db.queries.line_windows import RANKS
from rankline.src.db.queries.place import Place
from rankline.src.dse.metric import Metric


def equal_lines(lines: Subquery) -> Select[Any]:
    """The lines on which all ranks can be equal, with the common value ``fixed`` of their fixed ranks (NULL: none)."""
    fixed = func.coalesce(*(lines.c[name] for name in RANKS))
    equal = [(lines.c[name].is_(None)) | (lines.c[name] == fixed) for name in RANKS]
    return select(lines, fixed.label("fixed")).where(lines.c.hi >= lines.c.lo, *equal)


def equal_ks(fixed: int | None, step: int, ks: range, value: Callable[[int], Any], level: Fraction) -> list[int]:
    """The k, out of ``ks`` of a line, at which all ranks are equal and a metric may be nearest to the level.

    fixed: the common value of the line's fixed ranks, None if it has none; value: the metric at k, which never falls.
    With fixed ranks it is the k where the free rank equals them; without, those of the two values around the level,
    each where it is first reached.
    """
    if fixed:
        return [k for k in (fixed // step,) if k in ks]
    above = bisect_right(ks, level, key=value)
    below = bisect_left(ks, value(ks[above - 1]), key=value) if above else above
    return [ks[j] for j in {below, above} if j < len(ks)]


def nearest(places: Iterable[Place], metric: Metric, level: Fraction) -> Place | None:
    """The one whose metric is nearest to a level, ties by ``Place.order``; None if there are none."""
    return min(places, key=lambda place: (abs(metric.of(place.cost) - level), place.order), default=None)
