"""Configurations whose ranks are all equal."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from sqlalchemy import Row, Select, Subquery, func, select

from rankline.src.db.queries.line_windows import RANKS
from rankline.src.dse.metric import Metric
from rankline.src.dse.space import Space


def equal_lines(lines: Subquery) -> Select[Any]:
    """The lines on which all ranks can be equal, with the common value ``fixed`` of their fixed ranks (NULL: none)."""
    fixed = func.coalesce(*(lines.c[name] for name in RANKS))
    equal = [(lines.c[name].is_(None)) | (lines.c[name] == fixed) for name in RANKS]
    return select(lines, fixed.label("fixed")).where(lines.c.hi >= lines.c.lo, *equal)


def equal_places(
    rows: Iterable[Row[Any]], metric: Metric, level: Fraction, space: Space
) -> list[tuple[Fraction, Row[Any], int]]:
    """The configurations with equal ranks: the metric's distance to the level, the line, and k.

    If there are fixed ranks, k is where the free rank equals them; on a line without, the two k around the level.
    """
    places = []
    for row in rows:
        start = metric.combined(row.p0, row.m0, row.f0, space.factors(row.shape))
        slope = metric.combined(row.p1, row.m1, row.f1, 0)
        near = int((level - start) // slope)
        wanted = (row.fixed // row.step,) if row.fixed else (near, near + 1)
        for k in {min(max(k, row.lo), row.hi) for k in wanted}:
            if not row.fixed or k * row.step == row.fixed:
                places.append((abs(start + slope * k - level), row, k))
    return places
