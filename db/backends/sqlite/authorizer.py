"""What a user's own SQL may do: an allow-list that SQLite consults while it compiles a statement."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

_NAMES = """
    abs acos acosh asin asinh atan atan2 atanh avg ceil ceiling char coalesce concat concat_ws cos cosh count
    cume_dist current_date current_time current_timestamp date datetime degrees dense_rank exp first_value floor
    glob group_concat hex ifnull iif instr json json_array json_array_length json_extract json_group_array
    json_group_object json_object json_quote json_type json_valid julianday lag last_value lead length like
    likelihood likely ln log log10 log2 lower ltrim max min mod nth_value ntile nullif octet_length percent_rank pi
    pow power quote radians random rank replace round row_number rtrim sign sin sinh soundex sqlite_version sqrt
    strftime string_agg substr substring sum tan tanh time timediff total trim trunc typeof unhex unicode unixepoch
    unlikely upper -> ->>
"""

FUNCTIONS = frozenset(_NAMES.split())
"""Functions that compute only from their arguments, in time bounded by the arguments' length. Left out are those that
load code, touch files, change state, make values of any size (zeroblob) or can take minutes in one step (printf)."""

TABLES = frozenset({"sqlite_master", "sqlite_schema", "json_each", "json_tree"})
"""Readable tables beside the file's own tables and views."""

_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE}

_REFUSALS = {
    sqlite3.SQLITE_ATTACH: "ATTACH and VACUUM are not possible",
    sqlite3.SQLITE_DETACH: "DETACH is not possible",
    sqlite3.SQLITE_PRAGMA: "PRAGMA is not possible",
    sqlite3.SQLITE_TRANSACTION: "BEGIN, COMMIT and ROLLBACK are not possible",
    sqlite3.SQLITE_SAVEPOINT: "SAVEPOINT is not possible",
}


class Authorizer:
    """The callback for ``sqlite3.Connection.set_authorizer``; ``refusal`` holds the first thing it refused, if any."""

    def __init__(self, tables: Collection[str]) -> None:
        self.tables = TABLES.union(tables)
        self.refusal: str | None = None

    def __call__(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        found = self._refusal(action, first, second)
        self.refusal = self.refusal or found
        return sqlite3.SQLITE_OK if found is None else sqlite3.SQLITE_DENY

    def _refusal(self, action: int, first: str | None, second: str | None) -> str | None:
        if action in _ALLOWED:
            return None
        if action == sqlite3.SQLITE_FUNCTION:
            return None if second in FUNCTIONS else f"the function {second}() is not allowed"
        if action == sqlite3.SQLITE_READ:
            # Without a column, rows are only counted, and the name may come from a WITH clause.
            return None if first in self.tables or not second else f"the table {first} may not be read"
        if action == sqlite3.SQLITE_UPDATE and first == "sqlite_master":
            return "tables that SQLite computes, such as pragma_table_info and dbstat, may not be read"
        return _REFUSALS.get(action, "the statement would write")
