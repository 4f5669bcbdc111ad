"""A user's own SQL on a database, over a read-only connection and within limits."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from time import monotonic
from typing import Any

from sqlalchemy.engine import make_url

from rankline.src.db.backends.engine import known_version, other_version
from rankline.src.db.backends.location import check_location, sqlite_path
from rankline.src.db.backends.sqlite.authorizer import FUNCTIONS, TABLES, Authorizer
from rankline.src.db.backends.sqlite.read_only import open_read_only
from rankline.src.db.schema import SCHEMA_VERSION
from rankline.src.dse.errors import UserError, one_of

LIMIT_ROWS = 10_000
LIMIT_SECONDS = 10.0

LIMIT_BYTES = 64_000_000
"""The most bytes of all texts and blobs in a result."""

_LIMITS = {
    # Bytes of a value or row. The clock is not checked within a function, and some take quadratic time in it.
    sqlite3.SQLITE_LIMIT_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 50_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 100,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1_000,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}

_STEPS_PER_CHECK = 100
"""SQLite steps between two checks of the clock: some 10 ns each, up to 0.1 s with a slow function on long text."""


@dataclass(frozen=True)
class Rows:
    """The result of a query; ``truncated`` if it had more rows than the limit."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    truncated: bool


def run_sql(location: str, sql: str, limit_rows: int = LIMIT_ROWS, limit_seconds: float = LIMIT_SECONDS) -> Rows:
    """The rows of one SELECT, at most ``limit_rows`` of them, found within ``limit_seconds``.

    Nothing is written, whatever the statement. Raises UserError on any other statement, on invalid SQL, if a limit
    other than ``limit_rows`` is exceeded, and if ``location`` is not a Rankline database in an SQLite file.
    """
    if limit_rows < 1:
        raise UserError(f"the limit of rows must be at least 1; got {limit_rows}")
    if not limit_seconds > 0:
        raise UserError(f"the limit of seconds must be above 0; got {limit_seconds}")
    with closing(_open(location)) as connection:
        tables = _check(connection, location)
        _restrict(connection)
        authorizer = Authorizer(tables)
        connection.set_authorizer(authorizer)
        deadline = monotonic() + limit_seconds
        connection.set_progress_handler(lambda: monotonic() > deadline, _STEPS_PER_CHECK)
        try:
            return _fetch(connection.execute(sql), limit_rows)
        except UserError:
            raise
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            late = monotonic() > deadline
            connection.set_authorizer(None)
            connection.set_progress_handler(None, 0)
            if authorizer.refusal:
                raise UserError(f"{authorizer.refusal}: only a SELECT on this database can be run here") from None
            if str(error) != "interrupted":
                raise _mistake(connection, tables, sql, str(error)) from None
            if not late:
                raise KeyboardInterrupt from None  # which Python noticed while the clock was checked
            raise UserError(
                f"the query was stopped after {limit_seconds:g} seconds; narrow it, e.g. by WHERE layer = '..' AND "
                "method = '..', or allow more time with --limit-seconds"
            ) from None


def _open(location: str) -> sqlite3.Connection:
    """A read-only connection."""
    path = sqlite_path(location)
    if path is None:
        shown = make_url(location).render_as_string(hide_password=True)
        raise UserError(f"SQL is run on SQLite files; for {shown} use the database's own shell, such as psql")
    check_location(location, create=False)
    return open_read_only(path)


def _check(connection: sqlite3.Connection, location: str) -> list[str]:
    """The names of the file's tables and views. Raises UserError if it is not a Rankline database of this version."""
    query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND sql NOT LIKE 'CREATE VIRTUAL%'"
    tables = [row[0] for row in connection.execute(query)]
    if "alembic_version" not in tables:
        raise UserError(f"{location} is no Rankline database; make one with: rankline explore MODEL --db FILE")
    version = known_version(connection.execute("SELECT version_num FROM alembic_version").fetchall(), location)
    if version != SCHEMA_VERSION:
        raise UserError(other_version(location, version))
    return tables


def _restrict(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    for table in (
        "json_each",
        "json_tree",
    ):  # SQLite sets them up on first use, which the authorizer would refuse
        connection.execute(f"SELECT 1 FROM {table}('[]')")
    connection.text_factory = lambda value: value.decode(errors="replace")
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)


def _fetch(cursor: sqlite3.Cursor, limit_rows: int) -> Rows:
    if cursor.description is None:
        raise UserError("the text contains no SQL statement; try: SELECT * FROM network_summary")
    rows: list[tuple[Any, ...]] = []
    size = 0
    for row in cursor:
        if len(rows) == limit_rows:
            return Rows(_names(cursor), rows, truncated=True)
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if size > LIMIT_BYTES:
            raise UserError(
                f"the result has more than {LIMIT_BYTES:,} bytes of text; ask for fewer rows or shorter values"
            )
        rows.append(row)
    return Rows(_names(cursor), rows, truncated=False)


def _names(cursor: sqlite3.Cursor) -> tuple[str, ...]:
    return tuple(column[0] for column in cursor.description)


def _mistake(connection: sqlite3.Connection, tables: Iterable[str], sql: str, message: str) -> UserError:
    """SQLite's message, with the possible alternatives."""
    if unknown := re.match(r'no such (table|column|function): "?([^" ]+)', message):
        what, name = unknown.groups()
        if what == "table":
            return one_of(what, name, [*tables, *TABLES])
        if what == "function" and name in FUNCTIONS:
            return UserError(f"the SQLite library here was built without {name}(); leave it out")
        if what == "function":
            return one_of(what, name, sorted(FUNCTIONS))
        known = one_of(what, name.rpartition(".")[2], _columns(connection, tables, sql))
        return UserError(f"{known} (text goes in single quotes: 'conv1')")
    if "one statement at a time" in message:
        return UserError("several statements were given; only one SELECT can be run at a time")
    if "too big" in message:
        most = _LIMITS[sqlite3.SQLITE_LIMIT_LENGTH]
        return UserError(f"a value or a row is larger than {most:,} bytes; ask for a part of it, or for several rows")
    hint = "; give one SELECT" if "syntax error" in message else ""
    return UserError(f"SQLite cannot run this: {message}{hint}")


def _columns(connection: sqlite3.Connection, tables: Iterable[str], sql: str) -> list[str]:
    """The columns of the tables named in the SQL, or of all tables if it names none."""
    words = set(re.findall(r"\w+", sql.lower()))
    named = [table for table in tables if table.lower() in words] or list(tables)
    query = "SELECT DISTINCT name FROM pragma_table_info(?)"
    return sorted({row[0] for table in named for row in connection.execute(query, (table,))})
