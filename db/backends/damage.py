"""Errors that come from a damaged database, wherever it is read."""

from __future__ import annotations

import sqlite3
import traceback
from json import JSONDecodeError

from sqlalchemy.exc import DatabaseError, OperationalError

from rankline.src.dse.errors import UserError

_KINDS = (OperationalError, sqlite3.OperationalError, UnicodeDecodeError, JSONDecodeError)


def damage(error: Exception) -> UserError | None:
    """What to tell in place of an error that a damaged database raises; None for any other.

    Its schema lacks a column, or its text is no UTF-8 or no JSON. SQLite itself tells a damaged page.
    """
    if not isinstance(error, _KINDS) and type(error) not in (DatabaseError, sqlite3.DatabaseError):
        return None
    if not _was_reading(error) or not isinstance(getattr(error, "orig", None) or sqlite3.Error(), sqlite3.Error):
        return None
    return UserError(
        "what is in the database cannot be read; rankline db check tells whether it is damaged: if so, go back to a "
        "backup"
    )


def _was_reading(error: Exception) -> bool:
    """Whether the error came from a row or a statement of ours, and not from a file of another kind."""
    return any(
        str(frame.f_globals.get("__name__")).startswith("rankline.src.db")
        for frame, _ in traceback.walk_tb(error.__traceback__)
    )
