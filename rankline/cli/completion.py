"""What the shell may complete: names that are quickly found."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

import typer


def method(incomplete: str) -> list[str]:
    """The methods that begin so."""
    from rankline.src.dse.methods import METHODS

    return beginning(METHODS, incomplete)


def methods(incomplete: str) -> list[str]:
    """Lists of methods, separated by commas, that go on so: each method once."""
    from rankline.src.dse.methods import METHODS

    before, comma, last = incomplete.rpartition(",")
    given = before.split(",")
    return [f"{before}{comma}{name}" for name in beginning(METHODS, last) if name not in given]


def layer(context: typer.Context, incomplete: str) -> list[str]:
    """The layers in the database, of the network if one is given, that begin so."""
    network = context.params.get("network")
    where, values = (" WHERE network.name = ?", (str(network),)) if network else ("", ())
    sql = f"SELECT DISTINCT layer.name FROM layer JOIN network ON network.id = layer.network{where}"
    return beginning(_names(context, sql, values), incomplete)


def network(context: typer.Context, incomplete: str) -> list[str]:
    """The networks in the database that begin so."""
    return beginning(_names(context, "SELECT name FROM network"), incomplete)


def device(context: typer.Context, incomplete: str) -> list[str]:
    """The devices in the database that begin so."""
    return beginning(_names(context, "SELECT name FROM device"), incomplete)


def among(*names: str) -> Callable[[str], list[str]]:
    """Completes one of some names."""

    def complete(incomplete: str) -> list[str]:
        return beginning(names, incomplete)

    return complete


def beginning(names: Iterable[str], start: str) -> list[str]:
    """The names that begin with ``start``, without those that a terminal can't show as they are."""
    return [name for name in names if name.startswith(start) and name.isprintable()]


def _names(context: typer.Context, sql: str, values: tuple[str, ...] = ()) -> list[str]:
    """The names that a query gives; none where the database is no file, or can't be read: a shell can't be told."""
    path = Path(str(context.params.get("db") or "rankline.db"))
    if not path.is_file():
        return []
    # Without a log there is no writer, and SQLite needn't make files next to it.
    alone = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{alone}", uri=True)
        try:
            return [str(name) for (name,) in connection.execute(sql, values)]
        finally:
            connection.close()
    except sqlite3.Error:
        return []
