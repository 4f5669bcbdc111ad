"""Windows as SQL: on every line, the interval of k that meets them all, by integer arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Integer, Subquery, bindparam, case, func, literal, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from rankline.src.db.queries.windows import METRICS, Window
from rankline.src.db.schema import IDS_PER_SPACE, line

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


def coefficient(lines: FromClause, metric: str, degree: int) -> ColumnElement[int]:
    """Intercept (0) or slope (1) of a metric along the lines."""
    return _sum([lines.c[f"{key}{degree}"] for key in METRICS[metric]])


def intervals(chosen: str, windows: Sequence[Window]) -> Subquery:
    """Lines with ``lo`` and ``hi``, the first and last k in the set and in all windows.

    Which lines is left open: the ids from parameter ``first`` to parameter ``last`` (see ``parts``); ``number``
    counts them from 0 in their space.
    Where lo > hi, the line has no such configuration. Division truncates towards zero, which differs from
    the floor only below zero: hi is then at most 0, and a bound of lo at most 1, as it should be.
    """
    lows: list[ColumnElement[int]] = [_FIRST[chosen]]
    highs: list[ColumnElement[int]] = [_LAST[chosen]]
    for one in windows:
        intercept, slope = coefficient(line, one.metric, 0), coefficient(line, one.metric, 1)
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


def value_at(lines: Subquery, metric: str, k: ColumnElement[int]) -> ColumnElement[int]:
    """A metric's value at k on each line of ``intervals``."""
    return coefficient(lines, metric, 0) + coefficient(lines, metric, 1) * k


def _sum(terms: Sequence[ColumnElement[int]]) -> ColumnElement[int]:
    return sum(terms[1:], start=terms[0])


def ranks_at(lines: Subquery, k: ColumnElement[int]) -> list[ColumnElement[int]]:
    """r1..r4 at k on each line: the free one worked out, NULL where the method has none."""
    return [case((lines.c.free == j, lines.c.step * k), else_=lines.c[name]) for j, name in enumerate(RANKS, start=1)]


def tie_break(lines: Subquery, k: ColumnElement[int]) -> list[ColumnElement[int]]:
    """The order among equals: fewer params, fewer FM, ranks in lexicographic order, shape."""
    names = [expression.nulls_first() for expression in (*ranks_at(lines, k), lines.c.shape)]
    return [value_at(lines, "params", k), value_at(lines, "fm", k), *names]
