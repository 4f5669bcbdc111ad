"""Opening an SQLite file read-only, even where nothing can be written."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from rankline.src.dse.errors import UserError


def open_read_only(path: Path) -> sqlite3.Connection:
    """A connection that can only read, for any thread. Raises UserError."""
    try:
        try:
            return _connect(path, "mode=ro")
        except sqlite3.OperationalError as error:
            # Even to read, SQLite makes two files next to a database in WAL mode. If it can't, nobody else is writing
            # either, unless such files exist; then their contents would be missed.
            if _is_locked(error) or path.with_name(f"{path.name}-wal").exists():
                raise
            return open_unused(path)
    except sqlite3.OperationalError as error:
        if _is_locked(error):
            message = f"the database {path} is locked by another program; try again when that has ended"
            raise UserError(message) from None
        raise UserError(
            f"cannot open the database {path}: {error}; if its folder is read-only, copy {path.name} and "
            f"{path.name}-wal to another"
        ) from None
    except sqlite3.Error as error:
        raise UserError(f"cannot open the database {path}: {error}; it is damaged, go back to a backup") from None


def open_unused(path: Path) -> sqlite3.Connection:
    """A connection that can only read a file which nobody else uses; it makes no file beside it."""
    return _connect(path, "mode=ro&immutable=1")


def _is_locked(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _connect(path: Path, options: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{options}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("SELECT name FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection
