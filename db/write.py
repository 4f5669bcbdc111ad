"""Writing a space: its row, its lines and the ranks they need, in one transaction."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, func, insert, select

from db.engine import writing
from db.intervals import RANKS
from db.schema import IDS_PER_SPACE, rank
from db.schema import space as space_table
from dse.errors import UserError
from dse.space import Space

if TYPE_CHECKING:
    from dse.lines import Lines

COMPLETE = "complete"

Prepared = tuple[dict[str, int | str | None], list[str], list[tuple[int, ...]]]


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
        prepared = [_prepared(first, part) for first, part in zip(_firsts(lines), lines, strict=True)]
        with writing(engine).begin() as connection:
            if standing := stored_spaces(connection, [space.digest]):
                return standing[space.digest]
            key = _insert_space(connection, space, lines)
            _extend_ranks(connection, max((part.cap for part in lines), default=0))
            for constants, columns, rows in prepared:
                _insert_lines(connection, key, constants, columns, rows)
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


def _prepared(first: int, part: Lines) -> Prepared:
    """A part's lines for ``_insert_lines``: what all of them share, and the other columns as rows of Python values."""
    from dse.lines import COEFFICIENTS  # numba: it is loaded by now, since the lines are there

    width = part.ranks.shape[1]
    ranks = {name: part.ranks[:, j] if j < width and j != part.free else None for j, name in enumerate(RANKS)}
    tables = {
        **{name: column for name, column in ranks.items() if column is not None},
        "better": part.better,
        **dict(zip(("use_lo", "use_hi"), part.useful.T, strict=True)),
        **dict(zip(COEFFICIENTS, part.coefficients.T, strict=True)),
    }
    constants: dict[str, int | str | None] = {name: None for name, column in ranks.items() if column is None}
    constants |= {"shape": part.shape, "free": part.free + 1, "step": part.step, "cap": part.cap}
    varying = {name: column for name, column in tables.items() if (column != column[0]).any()}
    constants |= {name: int(column[0]) for name, column in tables.items() if name not in varying}
    numbers = range(first, first + len(part))
    rows = list(zip(numbers, *(column.tolist() for column in varying.values()), strict=True))
    return constants, list(varying), rows


def _insert_lines(
    connection: Connection,
    key: int,
    constants: Mapping[str, int | str | None],
    columns: Sequence[str],
    rows: list[tuple[int, ...]],
) -> None:
    """Plain driver calls, several times as fast as statements with dictionaries, and with as few values a row as
    can be: what the lines share stands in the statement."""
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    shared = {name: _literal(value) for name, value in constants.items()}
    names = ["id", "space", *shared, *columns]
    values = [f"{key * IDS_PER_SPACE} + {mark}", str(key), *shared.values(), *[mark] * len(columns)]
    connection.exec_driver_sql(f"INSERT INTO line ({', '.join(names)}) VALUES ({', '.join(values)})", rows)


def _literal(value: int | str | None) -> str:
    """The value as SQL; texts are tensor shapes. Raises ValueError on any other text."""
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    if not set(value) <= set("0123456789x:"):
        raise ValueError(f"{value!r} is no tensor shape")
    return f"'{value}'"


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
