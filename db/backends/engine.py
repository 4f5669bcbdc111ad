"""Connections: SQLite by path with the settings that Rankline relies on, or any SQLAlchemy URL."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from rankline.src.db.backends.location import check_location, sqlite_path
from rankline.src.db.backends.sqlite.owner import check_version, stored_version, version_of
from rankline.src.db.backends.sqlite.read_only import open_read_only, open_unused
from rankline.src.db.backends.sqlite.same_file import watch
from rankline.src.db.schema import metadata
from rankline.src.db.version import SCHEMA_VERSION
from rankline.src.db.views import views
from rankline.src.dse.errors import UserError

_PATIENCE = "busy_timeout = 120000"

_PRAGMAS = (
    _PATIENCE,
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
    "disk I/O": "the disk is full or failing; make room, and run the same again",
}
"""What to do, by a word in SQLite's message."""


def connect(location: str, create: bool = True, read_only: bool = False) -> Engine:
    """An engine for a database of this version; a missing or empty one is created and stamped if ``create``.

    Whose it is is found out before it is opened to be written, so that another program's file stays as it is. An
    SQLite file in a place that can't be written can still be read. Raises UserError if it can't be opened, is not a
    Rankline database, has another schema version or lacks a table, and if it is empty and may not be created.
    """
    create = create and not read_only
    check_location(location, create)
    path = sqlite_path(location)
    if path is not None and path.exists():
        version = stored_version(path, location)
        if version is not None or not create:
            check_version(version, location)
    engine = _reading_engine(location) if read_only else bare_engine(location, create)
    try:
        tables, version = _inspected(engine, location)
    except DBAPIError as error:
        if path is None or not path.exists() or not _is_about_writing(error):
            raise UserError(
                _advised(location, error.orig) or f"cannot open the database {location}: {error.orig}"
            ) from error
        engine = _read_only_engine(path)
        tables, version = _inspected(engine, location)
    explain_errors(engine, location)
    if version is None and create:
        _create(engine)
        return engine
    check_version(version, location)
    if lost := sorted(set(metadata.tables) - tables):
        raise UserError(f"the database {location} is damaged: the table {lost[0]} is missing; go back to a backup")
    return engine


def check_database(location: str) -> None:
    """Raises UserError where ``open_database`` would, before hours of work; makes nothing."""
    check_location(location)
    path = sqlite_path(location)
    if path is None:
        bare_engine(location)
    elif path.exists() and stored_version(path, location) is not None:
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
        if path is not None:
            watch(engine, path)
    return engine


def explain_errors(engine: Engine, location: str) -> None:
    """Turns those of SQLite's errors that a user can fix into one-line UserErrors."""
    event.listen(engine, "handle_error", partial(_explain, location))


def is_in_memory(engine: Engine) -> bool:
    """Whether the database lives in a single connection, which threads and processes cannot share."""
    return engine.dialect.name == "sqlite" and engine.url.database in (None, "", ":memory:")


def writing(engine: Engine, waits: bool = True) -> Engine:
    """The engine for transactions that write: on SQLite they take the write lock at the start; waits: for others."""
    return engine.execution_options(writes=True, waits=waits)


def schema_version(connection: Connection, location: str) -> str | None:
    """The stamped version; None for an empty database. Raises UserError for another program's database."""
    return _looked_at(connection, location)[1]


def _create(engine: Engine) -> None:
    with writing(engine).begin() as connection:
        if schema_version(connection, str(engine.url)) is not None:
            return  # another process created it in between
        metadata.create_all(connection)
        for statement in views(connection.dialect.name).values():
            connection.execute(text(statement))
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:version)"), {"version": SCHEMA_VERSION})


def _inspected(engine: Engine, location: str) -> tuple[set[str], str | None]:
    with engine.connect() as connection:
        return _looked_at(connection, location)


def _looked_at(connection: Connection, location: str) -> tuple[set[str], str | None]:
    """The tables of a database, and its version."""
    tables = set(inspect(connection).get_table_names())
    stamped = "SELECT version_num FROM alembic_version"
    rows = connection.execute(text(stamped)).all() if "alembic_version" in tables else []
    return tables, version_of(tables, rows, location)


def _reading_engine(location: str) -> Engine:
    """An engine that cannot write, whatever the statement."""
    path = sqlite_path(location)
    if path is None:
        return bare_engine(location, create=False).execution_options(postgresql_readonly=True)
    check_location(location, create=False)
    return _read_only_engine(path)


def _read_only_engine(path: Path) -> Engine:
    return create_engine(URL.create("sqlite", database=str(path)), creator=lambda: open_read_only(path))


def unused_engine(path: Path) -> Engine:
    """An engine that reads an SQLite file which nobody else uses, and makes no file beside it."""
    return create_engine(URL.create("sqlite", database=str(path)), creator=lambda: open_unused(path))


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
    options = connection.get_execution_options()
    begin = "BEGIN IMMEDIATE" if options.get("writes") else "BEGIN"
    if options.get("waits", True):
        connection.exec_driver_sql(begin)
        return
    connection.exec_driver_sql("PRAGMA busy_timeout = 0")
    try:
        connection.exec_driver_sql(begin)
    finally:
        connection.exec_driver_sql(f"PRAGMA {_PATIENCE}")
