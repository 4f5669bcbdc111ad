"""Whose database a file is, found out without changing a byte of it or leaving a file beside it."""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
from collections.abc import Collection, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from rankline.src.db.version import SCHEMA_VERSION
from rankline.src.dse.errors import UserError

MARKS = frozenset({"network", "layer", "layer_space", "space", "line", "rank", "run", "trial"})
"""Tables of every version. A database that has most of them is Rankline's: a damaged one may have lost some."""

_LOCKED = "mode=ro"
"""How a file is read together with its log, which changes nothing but files beside it."""

Found = tuple[set[str], list[tuple[Any, ...]]]
"""A database's tables, and the rows of its alembic_version."""


def stored_version(path: Path, location: str) -> str | None:
    """The schema version of an SQLite file; None if it has no table. Raises UserError for another program's file, and
    where it can't be read."""
    try:
        has_log = _has_log(path)
        try:
            tables, stamped = _read(path)
        except sqlite3.Error:
            if not has_log:
                raise
            tables, stamped = _read(path, _LOCKED)  # the log was being merged into it
        if has_log and not tables:
            tables, stamped = _read_with_log(path)
        elif has_log and _is_ours(tables):
            with suppress(sqlite3.Error):
                tables, stamped = _read(path, _LOCKED)
    except (sqlite3.Error, OSError) as error:
        damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        hint = "the file is damaged; go back to a backup" if damaged else "give another file with --db"
        raise UserError(f"cannot open the database {location}: {error}; {hint}") from error
    return version_of(tables, stamped, location)


def version_of(tables: Collection[str], stamped: Sequence[Sequence[Any]], location: str) -> str | None:
    """The version by a database's tables and the rows of its alembic_version; None if it has no table.

    Raises UserError for another program's database, and for one of ours without a version.
    """
    if not tables:
        return None
    if not _is_ours(tables):
        raise UserError(
            f"{location} is a database of another program (it has the tables {', '.join(sorted(tables)[:5])}); it is "
            "no Rankline database: give a new file with --db"
        )
    known = [str(row[0]) for row in stamped]
    if len(known) != 1 or not re.fullmatch(r"\d{4}", known[0]):
        raise UserError(
            f"{location} has no schema version (it is stamped {', '.join(known) or 'with nothing'}); go back to a "
            "backup, or give a new file with --db"
        )
    return known[0]


def check_version(version: str | None, location: str) -> None:
    """Raises UserError for an empty database and for another schema version."""
    if version is None:
        raise UserError(f"the database {location} is empty; add a network with: rankline explore MODEL --db {location}")
    if version < SCHEMA_VERSION:
        raise UserError(
            f"{location} has schema {version}, this Rankline needs {SCHEMA_VERSION}; "
            f"run: rankline db upgrade --db {location}"
        )
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{location} has schema {version}, newer than the {SCHEMA_VERSION} that this Rankline knows; "
            "install a newer Rankline"
        )


def _is_ours(tables: Collection[str]) -> bool:
    return "alembic_version" in tables and len(MARKS.intersection(tables)) >= len(MARKS) / 2


def _read(path: Path, how: str = "mode=ro&immutable=1") -> Found:
    """Immutable: neither locked nor with a log, for which even a reader would make files."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)) as connection:
        objects = connection.execute("SELECT type, name FROM sqlite_master").fetchall()
        tables = {str(name) for kind, name in objects if kind == "table"}
        marks = [connection.execute(f"PRAGMA {mark}").fetchone()[0] for mark in ("user_version", "application_id")]
        if not tables and (objects or any(marks)):
            raise UserError(
                f"{path} is a database of another program, though it has no tables; give a new file with --db"
            )
        stamped = "SELECT version_num FROM alembic_version"
        return tables, connection.execute(stamped).fetchall() if "alembic_version" in tables else []


def _read_with_log(path: Path) -> Found:
    """Of a copy, since all that the file holds may be in its log."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.db"
        shutil.copyfile(_log(path), _log(copy))
        shutil.copyfile(path, copy)
        return _read(copy, "mode=rw")


def _has_log(path: Path) -> bool:
    return _log(path).exists() and _log(path).stat().st_size > 0


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")
