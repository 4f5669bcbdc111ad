"""Windows as SQL: on every line, the interval of k that satisfies them all, by integer arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Integer, Subquery, bindparam, case, func, literal, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from rankline.src.db.queries.windows import Window
from rankline.src.db.schema import IDS_PER_SPACE, line
from rankline.src.dse.metric import Metric
from rankline.src.dse.space import Space

SETS = ("all", "better", "useful")

_FIRST: dict[str, ColumnElement[int]] = {"all": literal(1), "better": literal(1), "useful": line.c.use_lo}
_LAST: dict[str, ColumnElement[int]] = {"all": line.c.cap, "better": line.c.better, "useful": line.c.use_hi}

RANKS = ("r1", "r2", "r3", "r4")


class _Largest(GenericFunction[int]):
    """The largest of several values: GREATEST, which SQLite calls MAX."""

    type = Integer()
    inherit_cache = True
    name = "greatest"


class _Smallest(GenericFunction[int]):
    """The smallest of several values: LEAST, which SQLite calls MIN."""

    type = Integer()
    inherit_cache = True
    name = "least"


@compiles(_Largest, "sqlite")
def _max(element: _Largest, compiler: SQLCompiler, **kw: Any) -> str:
    return f"max({compiler.process(element.clauses, **kw)})"


@compiles(_Smallest, "sqlite")
def _min(element: _Smallest, compiler: SQLCompiler, **kw: Any) -> str:
    return f"min({compiler.process(element.clauses, **kw)})"


def along(lines: FromClause, metric: Metric, space: Space) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """Intercept and slope of a metric along the lines of a space."""
    (p0, m0, f0), (p1, m1, f1) = ([lines.c[f"{key}{degree}"] for key in "pmf"] for degree in (0, 1))
    factors = _factors(lines, space) if metric.factor else 0
    return metric.combined(p0, m0, f0, factors), metric.combined(p1, m1, f1, 0)


def _factors(lines: FromClause, space: Space) -> ColumnElement[int]:
    """Number of layers in the chain of each line's configurations: it differs only between T3F's tensor shapes."""
    shapes: dict[int, list[str | None]] = {}
    for branch in space.branches:
        shapes.setdefault(space.factors(branch.shape), []).append(branch.shape)
    if len(shapes) == 1:
        return literal(next(iter(shapes)))
    return case(*((lines.c.shape.in_(names), count) for count, names in shapes.items()))


def intervals(chosen: str, windows: Sequence[Window], space: Space) -> Subquery:
    """Lines with ``lo`` and ``hi``, the first and last k in the set and in all windows.

    The range of lines is left open: the ids from parameter ``first`` to parameter ``last`` (see ``parts``); ``number``
    counts them from 0 in their space. If lo > hi, the line has no such configuration. Division truncates towards zero,
    which differs from the floor only below zero: hi is then at most 0, and a bound of lo at most 1, as required.
    """
    lows: list[ColumnElement[int]] = [_FIRST[chosen]]
    highs: list[ColumnElement[int]] = [_LAST[chosen]]
    for one in windows:
        intercept, slope = along(line, one.metric, space)
        if one.low is not None:
            lows.append((one.low - 1 - intercept) // slope + 1)
        if one.high is not None:
            highs.append((one.high - intercept) // slope)
    lo = lows[0] if len(lows) == 1 else _Largest(*lows)
    hi = highs[0] if len(highs) == 1 else _Smallest(*highs)
    ids = line.c.id.between(bindparam("first", type_=Integer()), bindparam("last", type_=Integer()))
    number = (line.c.id % IDS_PER_SPACE).label("number")
    return select(line, number, lo.label("lo"), hi.label("hi")).where(ids).subquery()


def total(lines: Subquery) -> ColumnElement[int]:
    """The number of configurations on the lines."""
    return func.coalesce(func.sum(_Largest(literal(0), lines.c.hi - lines.c.lo + 1)), 0)


def value_at(lines: Subquery, metric: Metric, k: ColumnElement[int], space: Space) -> ColumnElement[int]:
    """A metric's value at k on each line of ``intervals``."""
    intercept, slope = along(lines, metric, space)
    return intercept + slope * k


def ranks_at(lines: Subquery, k: ColumnElement[int]) -> list[ColumnElement[int]]:
    """r1..r4 at k on each line, the free rank included; NULL for ranks the method lacks."""
    return [case((lines.c.free == j, lines.c.step * k), else_=lines.c[name]) for j, name in enumerate(RANKS, start=1)]


def tie_break(lines: Subquery, k: ColumnElement[int]) -> list[ColumnElement[int]]:
    """The order for breaking ties: fewer params, fewer FM, ranks in lexicographic order, shape."""
    names = [expression.nulls_first() for expression in (*ranks_at(lines, k), lines.c.shape)]
    return [lines.c.p0 + lines.c.p1 * k, lines.c.m0 + lines.c.m1 * k, *names]
