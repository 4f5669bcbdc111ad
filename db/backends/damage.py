"""Errors that come from a damaged database, wherever it is read."""

from __future__ import annotations

import sqlite3
import traceback
from json import JSONDecodeError

from sqlalchemy.exc import DatabaseError, OperationalError

from rankline.src.dse.errors import UserError

_OF_ROWS = (AttributeError, KeyError, IndexError, TypeError, ValueError)
"""What Python raises over a row that holds something else than it should."""

_READERS = ("rankline.src.db.records", "rankline.src.db.database", "rankline.src.db.queries.solutions")
"""Where rows are read."""

_KINDS = (OperationalError, sqlite3.OperationalError, UnicodeDecodeError, JSONDecodeError)


def damage(error: Exception) -> UserError | None:
    """What to tell in place of an error that a damaged database raises; None for any other.

    Its schema lacks a column, or its text is no UTF-8 or no JSON. SQLite itself tells a damaged page.
    """
    if isinstance(error, UserError):
        return None
    is_of_database = isinstance(error, _KINDS) or type(error) in (DatabaseError, sqlite3.DatabaseError)
    if not is_of_database and not (isinstance(error, _OF_ROWS) and _was_reading(error, _READERS)):
        return None
    cause = getattr(error, "orig", None)  # the driver's own error
    if not _was_reading(error, ("rankline.src.db",)) or not (cause is None or isinstance(cause, sqlite3.Error)):
        return None
    return UserError(
        "what is in the database cannot be read; rankline db check tells whether it is damaged: if so, go back to a "
        "backup"
    )


def _was_reading(error: Exception, modules: tuple[str, ...]) -> bool:
    """Whether the error came from a row or a statement of ours, which these modules read, and not from a file of
    another kind."""
    return any(
        str(frame.f_globals.get("__name__")).startswith(modules) for frame, _ in traceback.walk_tb(error.__traceback__)
    )
