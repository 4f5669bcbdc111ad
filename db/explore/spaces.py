"""Writing spaces: their rows, their lines, the ranks they need and their latencies, in one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sqlalchemy import Connection, Engine, func, insert, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from rankline.src.db.backends.engine import writing
from rankline.src.db.queries.line_windows import RANKS
from rankline.src.db.records.devices import models
from rankline.src.db.records.latencies import latencies, write_latencies
from rankline.src.db.schema import IDS_PER_SPACE, line, rank
from rankline.src.db.schema import space as space_table
from rankline.src.dse.errors import UserError
from rankline.src.dse.space import Space

if TYPE_CHECKING:
    from rankline.src.dse.lines import Integers, Lines

COMPLETE = "complete"

_COLUMNS = [
    "space",
    "shape",
    *RANKS,
    "free",
    "step",
    "cap",
    "better",
    "use_lo",
    "use_hi",
    "p0",
    "p1",
    "m0",
    "m1",
    "f0",
    "f1",
]

Computed = tuple[Space, Sequence["Lines"]]

_RANKS_AT_A_TIME = 100_000

_DIGESTS_AT_A_TIME = 1000
"""Below SQLite's limit on parameters."""


class Stored(NamedTuple):
    """A complete space in the database."""

    id: int
    n_total: int
    n_lines: int


def stored_spaces(connection: Connection, digests: Sequence[str]) -> dict[str, Stored]:
    """The complete spaces among these, by digest."""
    columns = [space_table.c[name] for name in ("digest", *Stored._fields)]
    found: dict[str, Stored] = {}
    for first in range(0, len(digests), _DIGESTS_AT_A_TIME):
        chunk = digests[first : first + _DIGESTS_AT_A_TIME]
        query = select(*columns).where(space_table.c.digest.in_(chunk), space_table.c.status == COMPLETE)
        found |= {row.digest: Stored(*row[1:]) for row in connection.execute(query)}
    return found


def write_spaces(engine: Engine, computed: Sequence[Computed]) -> dict[str, int]:
    """Stores computed spaces, all or none; returns their ids by digest.

    If another process has stored the same space meanwhile, that one is kept.
    """
    for space, _ in computed:
        if space.n_lines > IDS_PER_SPACE:
            raise UserError(
                f"a space can have {IDS_PER_SPACE:,} lines at most; {space.method} has {space.n_lines:,} here"
            )
    by_digest = {space.digest: (space, lines) for space, lines in computed}
    with _bulk(engine) as connection:
        ids = {digest: found.id for digest, found in stored_spaces(connection, list(by_digest)).items()}
        missing = {digest: found for digest, found in by_digest.items() if digest not in ids}
        if missing:
            new = _insert_spaces(connection, missing)
            parts = [(new[digest], lines) for digest, (_, lines) in missing.items()]
            _extend_ranks(connection, max((part.cap for _, lines in parts for part in lines), default=0))
            _insert_lines(connection, sorted(parts, key=lambda pair: pair[0]))
            for device, model in models(connection).items():
                found = latencies(model, {new[digest]: space for digest, (space, _) in missing.items()})
                write_latencies(connection, device, found)
            ids |= new
    return ids


@contextmanager
def _bulk(engine: Engine) -> Iterator[Connection]:
    """A write transaction in which SQLite may copy whole tables into one with a foreign key.

    It can only do so while foreign keys are not checked; the lines' keys are those of spaces just inserted.
    """
    with writing(engine).connect() as connection:
        driver = _sqlite(connection)
        if driver is None:
            with connection.begin():
                yield connection
            return
        driver.execute("PRAGMA foreign_keys = OFF")
        try:
            with connection.begin():
                yield connection
        finally:
            driver.execute("PRAGMA foreign_keys = ON")
            if any(name == "computed" for _, name, _ in driver.execute("PRAGMA database_list")):
                driver.execute("DETACH computed")


def _sqlite(connection: Connection) -> sqlite3.Connection | None:
    """The driver's connection, if it can open a database from bytes."""
    driver = connection.connection.dbapi_connection
    return driver if isinstance(driver, sqlite3.Connection) and hasattr(driver, "deserialize") else None


def _insert_spaces(connection: Connection, missing: dict[str, Computed]) -> dict[str, int]:
    rows = [
        {
            "method": space.method,
            "digest": digest,
            "options": json.dumps(space.definition()),
            "n_ranks": max((len(branch.steps) for branch in space.branches), default=0),
            "n_total": space.n_total,
            "n_better": sum(part.n_better for part in lines),
            "n_useful": sum(part.n_useful for part in lines),
            "n_lines": sum(len(part) for part in lines),
            "status": COMPLETE,
        }
        for digest, (space, lines) in missing.items()
    ]
    query = insert(space_table).returning(space_table.c.digest, space_table.c.id)
    return {row.digest: row.id for row in connection.execute(query, rows)}


def _extend_ranks(connection: Connection, cap: int) -> None:
    known = connection.execute(select(func.max(rank.c.r))).scalar() or 0
    for first in range(known + 1, cap + 1, _RANKS_AT_A_TIME):
        last = min(first + _RANKS_AT_A_TIME - 1, cap)
        connection.execute(insert(rank), [{"r": r} for r in range(first, last + 1)])


def _insert_lines(connection: Connection, spaces: Sequence[tuple[int, Sequence[Lines]]]) -> None:
    """Writes the lines of spaces, given by id, in the order of the ids.

    SQLite opens them as a table and copies it, in a fifth of the time that binding row by row takes.
    """
    from rankline.src.db.backends.sqlite.table_image import (  # numba: already loaded, since the lines exist
        NULL,
        table_image,
    )

    n_lines = [sum(map(len, parts)) for _, parts in spaces]
    if not sum(n_lines):
        return
    firsts = [key * IDS_PER_SPACE for key, _ in spaces]
    ids = np.concatenate([np.arange(first, first + n) for first, n in zip(firsts, n_lines, strict=True)])
    shapes = sorted({part.shape for _, parts in spaces for part in parts if part.shape is not None})
    places: dict[str | None, int] = {None: NULL, **{shape: place for place, shape in enumerate(shapes)}}
    rows = np.full((len(ids), len(_COLUMNS)), NULL, np.int64)
    first = 0
    for key, parts in spaces:
        for part in parts:
            _fill(rows[first : first + len(part)], key, places[part.shape], part)
            first += len(part)
    driver = _sqlite(connection)
    if driver is None:
        _insert_rows(connection, ids, rows, NULL, shapes)
        return
    image = table_image(_create_line(), ids, rows, shapes, _COLUMNS.index("shape"))
    connection.exec_driver_sql("ATTACH ':memory:' AS computed")
    driver.deserialize(image.data, name="computed")
    connection.exec_driver_sql("INSERT INTO main.line SELECT * FROM computed.line")


def _fill(rows: Integers, key: int, shape: int, part: Lines) -> None:
    """Writes a part's lines into rows of the table, which start as NULL and without ids."""
    fixed = [j for j in range(part.ranks.shape[1]) if j != part.free]
    rows[:, 0], rows[:, 1] = key, shape
    rows[:, [2 + j for j in fixed]] = part.ranks[:, fixed]
    rows[:, 6:9] = part.free + 1, part.step, part.cap
    rows[:, 9], rows[:, 10:12], rows[:, 12:] = part.better, part.useful, part.coefficients


def _insert_rows(connection: Connection, ids: Integers, rows: Integers, null: int, shapes: Sequence[str]) -> None:
    """Binds the lines one by one, for any database. Plain driver calls: several times as fast as dictionaries."""
    columns = dict(
        zip(_COLUMNS, ([None if v == null else v for v in column] for column in rows.T.tolist()), strict=True)
    )
    columns["shape"] = [None if place is None else shapes[place] for place in columns["shape"]]
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    statement = f"INSERT INTO line (id, {', '.join(columns)}) VALUES ({', '.join([mark] * (1 + len(columns)))})"
    connection.exec_driver_sql(statement, list(zip(ids.tolist(), *columns.values(), strict=True)))


@cache
def _create_line() -> str:
    return str(CreateTable(line).compile(dialect=sqlite.dialect()))
