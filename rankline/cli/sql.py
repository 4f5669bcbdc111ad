"""``sql``: the user's own SELECT."""

from __future__ import annotations

import math
import shutil
import sys
from typing import Annotated, Any

import typer

from rankline.cli.output import (
    DEFAULT_DATABASE,
    CsvOption,
    DatabaseOption,
    JsonOption,
    note,
    write_csv,
    write_json,
    write_table,
)
from rankline.src.dse.errors import UserError

LONGEST = 50_000
"""Characters that are read of standard input: a longer statement is refused, however long it is."""

MOST_CELLS, MOST_CHARACTERS = 50_000, 1_000_000
"""What a table for people has at most: rich draws some 10,000 cells a second."""

NARROWEST = 5
"""Characters that a column takes on a terminal, at the least."""


def sql(
    statement: Annotated[str, typer.Argument(help="One SELECT; - reads it from standard input.", metavar="SQL")],
    db: DatabaseOption = DEFAULT_DATABASE,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    limit_rows: Annotated[int, typer.Option(help="Show at most this many rows.")] = 10_000,
    limit_seconds: Annotated[float, typer.Option(help="Stop the query after this time.")] = 10.0,
) -> None:
    """Run a SELECT of your own on a connection that can only read; docs/sql.md has recipes.

    Example: [bold]rankline sql "SELECT network, params, configurations FROM network_summary"[/bold]
    """
    from rankline.src.db.queries.sql import run_sql

    given = _standard_input() if statement == "-" else statement
    if not given.isascii() and any("\ud800" <= one <= "\udfff" for one in given):
        raise UserError("the statement is no text; give one SELECT as UTF-8")
    found = run_sql(db, given, limit_rows, limit_seconds)
    if as_csv:
        write_csv(found.columns, ([_for_machines(value) for value in row] for row in found.rows))
    elif as_json:
        repeated = {name for name in found.columns if found.columns.count(name) > 1}
        if repeated:
            raise UserError(f"several columns are named '{min(repeated)}'; name them apart with AS for --json")
        write_json([dict(zip(found.columns, map(_for_machines, row), strict=True)) for row in found.rows])
    else:
        columns = found.columns[: shutil.get_terminal_size().columns // NARROWEST if sys.stdout.isatty() else None]
        rows, is_cut = _for_people([row[: len(columns)] for row in found.rows])
        title = "1 row" if len(found.rows) == 1 else f"{len(found.rows):,} rows"
        write_table(title, columns, rows, drop_empty=False)
        if len(columns) < len(found.columns):
            note(f"there is room for {len(columns)} of {len(found.columns)} columns; --csv and --json write all")
        if len(rows) < len(found.rows):
            note(f"the first {len(rows):,} rows are drawn; --csv and --json write all")
        if is_cut:
            note("long texts are cut; --csv and --json write them whole")
    if found.truncated:
        note(f"there are more rows than the {limit_rows:,} shown; narrow the query, or raise --limit-rows")


def _standard_input() -> str:
    try:
        return sys.stdin.read(LONGEST + 1)
    except UnicodeDecodeError:
        raise UserError("standard input is no text; give one SELECT as UTF-8") from None


def _for_machines(value: Any) -> Any:
    """Blobs as hexadecimal text, and infinity, which JSON has not, as text."""
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _for_people(rows: list[tuple[Any, ...]]) -> tuple[list[list[Any]], bool]:
    """As many rows as can be drawn in seconds, and whether texts had to be cut for that. Blobs are told by size."""
    drawn = rows[: max(1, MOST_CELLS // len(rows[0]))] if rows else []
    longest = MOST_CHARACTERS // (len(drawn) * len(rows[0])) if rows else 0
    is_cut = any(isinstance(value, str) and len(value) > longest for row in drawn for value in row)

    def shown(value: Any) -> Any:
        if isinstance(value, bytes):
            return f"{len(value):,} bytes"
        return f"{value[:longest]}…" if isinstance(value, str) and len(value) > longest else value

    return [[shown(value) for value in row] for row in drawn], is_cut
