"""Connections: SQLite by path with the settings that Rankline relies on, or any SQLAlchemy URL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from rankline.src.db.backends.location import check_location, sqlite_path
from rankline.src.db.backends.sqlite.read_only import open_read_only
from rankline.src.db.schema import SCHEMA_VERSION, metadata
from rankline.src.db.views import views
from rankline.src.dse.errors import UserError

_PRAGMAS = (
    "busy_timeout = 120000",
    "foreign_keys = ON",
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "wal_autocheckpoint = 10000",  # pages: a large space is copied into the file once, not many times
)

_ADVICE = {
    "locked": "another program keeps it locked; try again when that has ended",
    "readonly": "it can only be read here; copy it to a folder of your own",
    "malformed": "the file is damaged; go back to a backup",
    "not a database": "the file is damaged; go back to a backup",
    "full": "make room, and run the same again",
}
"""What to do, by a word in SQLite's message."""


def connect(location: str, create: bool = True, read_only: bool = False) -> Engine:
    """An engine for a database of this version; a missing or empty one is created and stamped, unless ``read_only``.

    An SQLite file in a place that can't be written can still be read. Raises UserError if it can't be opened, is not a
    Rankline database, or has another schema version.
    """
    engine = _reading_engine(location) if read_only else bare_engine(location, create)
    try:
        version = _version_of(engine, location)
    except DBAPIError as error:
        path = sqlite_path(location)
        if path is None or not path.exists() or not _is_about_writing(error):
            raise UserError(
                _advised(location, error.orig) or f"cannot open the database {location}: {error.orig}"
            ) from error
        engine = _read_only_engine(path)
        version = _version_of(engine, location)
    explain_errors(engine, location)
    if version is None and read_only:
        raise UserError(f"the database {location} is empty; add a network with: rankline explore MODEL --db {location}")
    if version is None:
        _create(engine)
    elif version != SCHEMA_VERSION:
        raise UserError(other_version(location, version))
    return engine


def check_database(location: str) -> None:
    """Raises UserError where ``open_database`` would, before hours of work; makes nothing."""
    check_location(location)
    path = sqlite_path(location)
    if path is None:
        bare_engine(location)
    elif path.exists() and path.stat().st_size:
        connect(location).dispose()


def bare_engine(location: str, create: bool = True) -> Engine:
    """An engine, without checking what the database contains. Raises UserError on a bad path or URL."""
    check_location(location, create)
    path = sqlite_path(location)
    try:
        engine = create_engine(location if "://" in location else URL.create("sqlite", database=str(path)))
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise UserError(f"cannot use the database URL {location}: {error}") from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def explain_errors(engine: Engine, location: str) -> None:
    """Turns those of SQLite's errors that a user can fix into one-line UserErrors."""
    event.listen(engine, "handle_error", partial(_explain, location))


def is_in_memory(engine: Engine) -> bool:
    """Whether the database lives in a single connection, which threads and processes cannot share."""
    return engine.dialect.name == "sqlite" and engine.url.database in (None, "", ":memory:")


def writing(engine: Engine) -> Engine:
    """The engine for transactions that write: on SQLite they take the write lock at the start."""
    return engine.execution_options(writes=True)


def schema_version(connection: Connection, location: str) -> str | None:
    """The stamped version; None for an empty database. Raises UserError for another program's database."""
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" in tables:
        return known_version(connection.execute(text("SELECT version_num FROM alembic_version")).all(), location)
    if tables:
        raise UserError(
            f"{location} is a database of another program (it has the tables {', '.join(sorted(tables)[:5])}); "
            "give a new file with --db"
        )
    return None


def known_version(rows: Sequence[Sequence[Any]], location: str) -> str:
    """The version in the rows of alembic_version. Raises UserError if there is none."""
    stamped = [str(row[0]) for row in rows]
    if len(stamped) != 1 or not re.fullmatch(r"\d{4}", stamped[0]):
        raise UserError(
            f"{location} has no schema version (it is stamped {', '.join(stamped) or 'with nothing'}); go back to a "
            "backup, or give a new file with --db"
        )
    return stamped[0]


def _create(engine: Engine) -> None:
    with writing(engine).begin() as connection:
        if schema_version(connection, str(engine.url)) is not None:
            return  # another process created it in between
        metadata.create_all(connection)
        for statement in views(connection.dialect.name).values():
            connection.execute(text(statement))
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:version)"), {"version": SCHEMA_VERSION})


def other_version(location: str, version: str) -> str:
    """The message for a database of another schema version."""
    if version < SCHEMA_VERSION:
        return (
            f"{location} has schema {version}, this Rankline needs {SCHEMA_VERSION}; "
            f"run: rankline db upgrade --db {location}"
        )
    return (
        f"{location} has schema {version}, newer than the {SCHEMA_VERSION} that this Rankline knows; "
        "install a newer Rankline"
    )


def _version_of(engine: Engine, location: str) -> str | None:
    with engine.connect() as connection:
        return schema_version(connection, location)


def _reading_engine(location: str) -> Engine:
    """An engine that cannot write, whatever the statement."""
    path = sqlite_path(location)
    if path is None:
        return bare_engine(location, create=False).execution_options(postgresql_readonly=True)
    check_location(location, create=False)
    return _read_only_engine(path)


def _read_only_engine(path: Path) -> Engine:
    return create_engine(URL.create("sqlite", database=str(path)), creator=lambda: open_read_only(path))


def _is_about_writing(error: DBAPIError) -> bool:
    """Whether SQLite gave up because it could not write to the file or next to it."""
    return str(getattr(error.orig, "sqlite_errorname", "")).startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN"))


def _explain(location: str, context: ExceptionContext) -> None:
    if message := _advised(location, context.original_exception):
        raise UserError(message) from context.original_exception


def _advised(location: str, error: BaseException | None) -> str | None:
    """SQLite's message followed by what to do; None for any other error."""
    advice = next((advice for word, advice in _ADVICE.items() if word in str(error)), None)
    return f"the database {location}: {error}; {advice}" if advice else None


def _set_up_sqlite(connection: object, _: object) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]  # _begin_sqlite issues BEGIN
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
