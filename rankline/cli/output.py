"""Options and output that commands share."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

from reports.numbers import MISSING

DatabaseOption = Annotated[
    str, typer.Option("--db", envvar="RANKLINE_DB", help="Database: a file or a SQLAlchemy URL.", metavar="DB")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON for machines.")]
NetworkOption = Annotated[str | None, typer.Option("--network", help="Network; not needed where there is one.")]
InputShapeOption = Annotated[
    str | None, typer.Option(help="Size of one input without the batch axis, such as 224,224,3.", metavar="SIZES")
]

DEFAULT_DATABASE = "rankline.db"


def write_json(value: Any) -> None:
    """The value as indented JSON on standard output."""
    print(json.dumps(value, indent=2))


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A header and the rows on standard output; None is an empty field."""
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def write_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], drop_empty: bool = True) -> None:
    """A table for people under a title; numbers to the right, columns without any value left out by default."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    body = [list(row) for row in rows]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    shown = [
        j for j in range(len(columns)) if not (drop_empty and body) or any(row[j] not in (None, "") for row in body)
    ]
    for j in shown:
        numeric = body and all(isinstance(row[j], int | float) or str(row[j])[:1].isdigit() for row in body)
        table.add_column(escape(columns[j]), justify="right" if numeric else "left", overflow="fold")
    for row in body:
        table.add_row(*(_cell(row[j]) for j in shown))
    # Where nobody looks, nothing is folded: a pipe gets every column whole.
    console = Console(width=None if sys.stdout.isatty() else max(160, 24 * len(columns)))
    console.print(title, highlight=False, markup=False)
    console.print(table)


def note(message: str) -> None:
    """A line for people on standard error, so that standard output stays clean."""
    print(message, file=sys.stderr)


def numbers(text: str, what: str) -> tuple[float, ...]:
    """Comma-separated numbers. Raises typer.BadParameter that names what they are for."""
    from fractions import Fraction

    try:
        return tuple(float(Fraction(part)) for part in text.split(","))
    except (ValueError, ZeroDivisionError):
        raise typer.BadParameter(f"{what} takes numbers separated by commas; got '{text}'") from None


def sizes(text: str | None) -> tuple[int, ...] | None:
    """Comma-separated sizes as whole numbers; None stays None."""
    if text is None:
        return None
    found = numbers(text, "--input-shape")
    if not all(value.is_integer() and value > 0 for value in found):
        raise typer.BadParameter(f"--input-shape takes whole numbers such as 224,224,3; got '{text}'")
    return tuple(int(value) for value in found)


def _cell(value: Any) -> str:
    from rich.markup import escape

    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))
