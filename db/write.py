"""Writing a space: its row, its lines and the ranks they need, in one transaction."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, func, insert, select

from db.engine import writing
from db.intervals import RANKS
from db.schema import IDS_PER_SPACE, line, rank
from db.schema import space as space_table
from dse.errors import UserError
from dse.space import Space

if TYPE_CHECKING:
    from dse.lines import Lines

COMPLETE = "complete"


def stored_spaces(connection: Connection, digests: Sequence[str]) -> dict[str, int]:
    """The ids of those spaces that stand complete, by digest."""
    query = select(space_table.c.digest, space_table.c.id).where(
        space_table.c.digest.in_(digests), space_table.c.status == COMPLETE
    )
    return {row.digest: row.id for row in connection.execute(query)}


def write_space(engine: Engine, space: Space, lines: Sequence[Lines]) -> int:
    """Stores a computed space and returns its id; all of it or nothing.

    Where another process stored the same space meanwhile, that one is kept.
    """
    if space.n_lines > IDS_PER_SPACE:
        raise UserError(f"a space can have {IDS_PER_SPACE:,} lines at most; {space.method} has {space.n_lines:,} here")
    with _no_garbage_collection():
        rows = [row for first, part in zip(_firsts(lines), lines, strict=True) for row in _rows(first, part)]
        with writing(engine).begin() as connection:
            if standing := stored_spaces(connection, [space.digest]):
                return standing[space.digest]
            key = _insert_space(connection, space, lines)
            _extend_ranks(connection, max((part.cap for part in lines), default=0))
            _insert_lines(connection, key, rows)
    return key


def _insert_space(connection: Connection, space: Space, lines: Sequence[Lines]) -> int:
    values = {
        "method": space.method,
        "digest": space.digest,
        "options": json.dumps(space.definition()),
        "n_ranks": max((len(branch.steps) for branch in space.branches), default=0),
        "n_total": space.n_total,
        "n_better": sum(part.n_better for part in lines),
        "n_useful": sum(part.n_useful for part in lines),
        "n_lines": sum(len(part) for part in lines),
        "status": COMPLETE,
    }
    return int(connection.execute(insert(space_table).values(**values).returning(space_table.c.id)).scalar_one())


def _extend_ranks(connection: Connection, cap: int) -> None:
    known = connection.execute(select(func.max(rank.c.r))).scalar() or 0
    if cap > known:
        connection.execute(insert(rank), [{"r": r} for r in range(known + 1, cap + 1)])


def _firsts(lines: Sequence[Lines]) -> Iterator[int]:
    """The number of each part's first line."""
    first = 0
    for part in lines:
        yield first
        first += len(part)


def _rows(first: int, part: Lines) -> Iterator[tuple[Any, ...]]:
    """The part's lines as tuples of Python values, in the order of the columns but ``space``."""
    count, width = part.ranks.shape
    ranks = [
        repeat(None, count) if j >= width or j == part.free else part.ranks[:, j].tolist() for j in range(len(RANKS))
    ]
    return zip(
        range(first, first + count),
        repeat(part.shape, count),
        *ranks,
        repeat(part.free + 1, count),
        repeat(part.step, count),
        repeat(part.cap, count),
        part.better.tolist(),
        *part.useful.T.tolist(),
        *part.coefficients.T.tolist(),
        strict=True,
    )


def _insert_lines(connection: Connection, key: int, rows: list[tuple[Any, ...]]) -> None:
    """Plain driver calls: several times as fast as statements with dictionaries."""
    if not rows:
        return
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    columns = [column.name for column in line.columns]
    values = ", ".join([f"{key * IDS_PER_SPACE} + {mark}", str(key), *[mark] * (len(columns) - 2)])
    connection.exec_driver_sql(f"INSERT INTO line ({', '.join(columns)}) VALUES ({values})", rows)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Building a million tuples takes half the time without the collector's scans."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
