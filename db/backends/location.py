"""Where a database is, or can be made: what is told without SQLAlchemy where it is a path."""

from __future__ import annotations

import os
from pathlib import Path

from rankline.src.dse.errors import UserError

_SQLITE_HEADER = b"SQLite format 3\0"


def sqlite_path(location: str) -> Path | None:
    """The file of a path or a sqlite URL; None for another database or one in memory."""
    if "://" not in location:
        return Path(location)
    from sqlalchemy.engine import make_url

    url = make_url(location)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def check_location(location: str, create: bool = True) -> None:
    """Raises UserError where an SQLite file is not there, is something else, or has no folder to be made in."""
    path = sqlite_path(location)
    if path is None:
        return
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a file, such as {path / 'rankline.db'}")
    if not path.exists():
        if not create:
            raise UserError(f"no database at {path}; make one with: rankline explore MODEL --db {path}")
        if not path.parent.is_dir():
            raise UserError(
                f"cannot create {path}: the folder {path.parent} does not exist; make it, or give another "
                "database with --db or RANKLINE_DB"
            )
        if not os.access(path.parent, os.W_OK):
            raise UserError(f"cannot create {path}: the folder {path.parent} is read-only; give another with --db")
        return
    if not path.is_file():
        raise UserError(f"{path} is a pipe or a device; give a file with --db")
    try:
        with path.open("rb") as file:
            start = file.read(len(_SQLITE_HEADER))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; give another file with --db") from error
    if start and start != _SQLITE_HEADER:
        raise UserError(f"{path} is not an SQLite database; give another file with --db")
