"""What a user's own SQL may do: an allow-list that SQLite asks while it compiles a statement."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

FUNCTIONS = frozenset(
    """
    abs acos acosh asin asinh atan atan2 atanh avg ceil ceiling char coalesce concat concat_ws cos cosh count cume_dist
    current_date current_time current_timestamp date datetime degrees dense_rank exp first_value floor format glob
    group_concat hex ifnull iif instr json json_array json_array_length json_each json_extract json_group_array
    json_group_object json_object json_quote json_tree json_type json_valid julianday lag last_value lead length like
    likelihood likely ln log log10 log2 lower ltrim max min mod nth_value ntile nullif octet_length percent_rank pi pow
    power printf quote radians random rank replace round row_number rtrim sign sin sinh soundex sqlite_version sqrt
    strftime string_agg substr substring sum tan tanh time timediff total trim trunc typeof unhex unicode unixepoch
    unlikely upper -> ->>
    """.split()
)
"""Those that compute from their arguments alone. Left out: all that load code, touch files, change state or make
values of any size out of nothing (zeroblob, randomblob)."""

SCHEMA_TABLES = frozenset({"sqlite_master", "sqlite_schema"})
JSON_TABLES = frozenset({"json_each", "json_tree"})

_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE}
_REFUSED = {
    sqlite3.SQLITE_ATTACH: "ATTACH is not possible, and nor is VACUUM",
    sqlite3.SQLITE_DETACH: "DETACH is not possible",
    sqlite3.SQLITE_PRAGMA: "PRAGMA is not possible",
    sqlite3.SQLITE_TRANSACTION: "BEGIN, COMMIT and ROLLBACK are not possible",
    sqlite3.SQLITE_SAVEPOINT: "SAVEPOINT is not possible",
}


class Authorizer:
    """The callback for ``sqlite3.Connection.set_authorizer``; ``refused`` tells what it denied first, if anything."""

    def __init__(self, tables: Collection[str]) -> None:
        self.tables = frozenset(tables) | SCHEMA_TABLES | JSON_TABLES
        self.refused: str | None = None

    def __call__(self, action: int, first: str | None, second: str | None, _: str | None, __: str | None) -> int:
        if action in _ALLOWED:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ:
            # Without a column, it is a table that is only counted; the name may be that of a WITH clause.
            if second == "" or first in self.tables:
                return sqlite3.SQLITE_OK
            refusal = f"the table '{first}' may not be read"
        elif action == sqlite3.SQLITE_FUNCTION:
            if second in FUNCTIONS:
                return sqlite3.SQLITE_OK
            refusal = f"the function {second}() is not allowed"
        else:
            refusal = _REFUSED.get(action, "the statement would write to the database")
        self.refused = self.refused or refusal
        return sqlite3.SQLITE_DENY
