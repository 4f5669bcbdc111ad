"""The process that runs a user's own SELECT, so that it can be ended at any moment and bounded in memory.

It reads a request, a JSON line, from standard input, and writes JSON lines: ``["ready"]`` before it runs the
statement, ``["columns", ..]``, a ``["row", ..]`` for each row, and ``["end", whether there were more]``, or
``["error", text]``. It ends when its standard input does. It needs the standard library alone: it starts in 50 ms.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread

from rankline.src.db.backends.sqlite.authorizer import FUNCTIONS, TABLES, Authorizer
from rankline.src.db.backends.sqlite.read_only import open_read_only
from rankline.src.dse.errors import UserError, one_of

LIMIT_BYTES = 64_000_000
"""The most bytes of all values in a result."""

_HEAP_BYTES = 256_000_000
"""What SQLite may allocate: sorting and grouping happen in memory, never in files."""

_PROCESS_BYTES, _FILE_BYTES = 1_000_000_000, 1_000_000
"""What the process may allocate, and the size of a file that it may write, should SQLite's own limits fail."""

_LIMITS = {
    # Bytes of a value or row.
    sqlite3.SQLITE_LIMIT_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 50_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 100,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1_000,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}


def main() -> None:
    """Answers one request: path, sql, limit_rows."""
    line = sys.stdin.buffer.readline()
    if not line:
        return
    Thread(target=_end_with_input, daemon=True).start()
    try:
        _answer(**json.loads(line))
    except UserError as error:
        _tell("error", str(error))
    except MemoryError:
        most = f"{_HEAP_BYTES // 1_000_000:,} MB"
        _tell("error", f"the query needs more than {most} of memory; narrow it, or sort and group shorter values")
    sys.stdout.flush()
    os._exit(0)  # without waiting for the thread


def _end_with_input() -> None:
    """Ends this process when the one that asked is gone, whatever SQLite is doing."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


def _tell(*what: object) -> None:
    text = json.dumps(what, ensure_ascii=False, default=lambda blob: {"blob": blob.hex()})
    sys.stdout.buffer.write(text.encode(errors="backslashreplace") + b"\n")


def _answer(path: str, sql: str, limit_rows: int) -> None:
    with closing(open_read_only(Path(path))) as connection:
        tables = _restrict(connection)
        authorizer = Authorizer(tables)
        connection.set_authorizer(authorizer)
        _tell("ready")
        sys.stdout.flush()
        try:
            _fetch(connection.execute(sql), limit_rows)
        except UserError:
            raise
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            connection.set_authorizer(None)
            if authorizer.refusal:
                raise UserError(f"{authorizer.refusal}: only a SELECT on this database can be run here") from None
            raise _mistake(connection, tables, sql, str(error)) from None


def _restrict(connection: sqlite3.Connection) -> list[str]:
    """Sets every limit; returns the names of the file's tables and views."""
    query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND sql NOT LIKE 'CREATE VIRTUAL%'"
    tables = [row[0] for row in connection.execute(query)]
    in_memory = ("temp_store = MEMORY", f"hard_heap_limit = {_HEAP_BYTES}")
    for pragma in ("query_only = ON", "trusted_schema = OFF", *in_memory):
        connection.execute(f"PRAGMA {pragma}")
    # SQLite sets these up on first use, which the authorizer would refuse.
    for table in ("json_each", "json_tree"):
        connection.execute(f"SELECT 1 FROM {table}('[]')")
    connection.text_factory = lambda value: value.decode(errors="replace")
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    with suppress(ImportError, ValueError, OSError):  # where the system has no such limits
        import resource

        for kind, most in ((resource.RLIMIT_AS, _PROCESS_BYTES), (resource.RLIMIT_FSIZE, _FILE_BYTES)):
            resource.setrlimit(kind, (most, most))
    return tables


def _fetch(cursor: sqlite3.Cursor, limit_rows: int) -> None:
    if cursor.description is None:
        raise UserError("the text contains no SQL statement; try: SELECT * FROM network_summary")
    _tell("columns", *(column[0] for column in cursor.description))
    size = 0
    for number, row in enumerate(cursor):
        if number == limit_rows:
            _tell("end", True)
            return
        size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
        if size > LIMIT_BYTES:
            raise UserError(f"the result has more than {LIMIT_BYTES:,} bytes; ask for fewer rows or shorter values")
        _tell("row", *row)
    _tell("end", False)


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
