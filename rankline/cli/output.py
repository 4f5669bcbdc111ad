"""Options and output that commands share."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dse.errors import UserError
from reports.numbers import MISSING

if TYPE_CHECKING:
    from rich.table import Table

DatabaseOption = Annotated[
    str, typer.Option("--db", envvar="RANKLINE_DB", help="Database: a file or a SQLAlchemy URL.", metavar="DB")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON for machines.")]
SeedOption = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of everything that chance enters.")]
NetworkOption = Annotated[str | None, typer.Option("--network", help="Network; not needed where there is one.")]
InputShapeOption = Annotated[
    str | None, typer.Option(help="Size of one input without the batch axis, such as 224,224,3.", metavar="SIZES")
]

DEFAULT_DATABASE = "rankline.db"

WORD = 10
"""Up to so many characters, a text in a table is not folded."""


def write_json(value: Any) -> None:
    """The value as indented JSON on standard output."""
    print(json.dumps(value, indent=2))


def write_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A header and the rows on standard output; None is an empty field."""
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def write_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    drop_empty: bool = True,
    least_important: Sequence[str] = (),
) -> None:
    """A table for people under a title; numbers to the right, columns without any value left out by default.

    Numbers and ``least_important`` columns are never folded: on a narrow terminal the titles of numbers are, and then
    the least important are left out, in that order, with a note.
    """
    from rich.console import Console

    body = [list(row) for row in rows]
    shown = [
        column
        for j, column in enumerate(columns)
        if not (drop_empty and body) or any(row[j] not in (None, "") for row in body)
    ]
    # Where nobody looks, nothing is folded: a pipe gets every column whole.
    console = Console(width=None if sys.stdout.isatty() else max(160, 24 * len(columns)))
    boundless = console.options.update_width(10_000)
    whole = set(least_important)
    table, left_out = _table(columns, body, shown, whole, fold_titles=False), []
    if console.measure(table, options=boundless).maximum > console.width:
        table = _table(columns, body, shown, whole, fold_titles=True)
    for column in least_important:
        if column in shown and console.measure(table, options=boundless).minimum > console.width:
            shown.remove(column)
            left_out.append(column)
            table = _table(columns, body, shown, whole, fold_titles=True)
    console.print(title, highlight=False, markup=False)
    console.print(table)
    if left_out:
        note(f"left out for want of space: {', '.join(left_out)}")


def _table(
    columns: Sequence[str], body: Sequence[Sequence[Any]], shown: Sequence[str], whole: set[str], fold_titles: bool
) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    places = [j for j, column in enumerate(columns) if column in shown]
    for j in places:
        if _is_numeric([row[j] for row in body]):
            title = columns[j].replace(" ", "\n") if fold_titles else columns[j]
            table.add_column(escape(title), justify="right", no_wrap=True)
        else:
            longest = max((len(_cell(row[j])) for row in body), default=0)
            room = longest if columns[j] in whole else min(WORD, longest)
            table.add_column(escape(columns[j]), overflow="fold", min_width=room)
    for row in body:
        table.add_row(*(_cell(row[j]) for j in places))
    return table


def _is_numeric(values: Sequence[Any]) -> bool:
    """Whether a column holds numbers, also written ones such as "93.8 %" or "<= 5.0 %"; some may be missing."""
    known = [str(value) for value in values if value not in (None, MISSING)]
    return bool(known) and all(text.lstrip("−-<=~ ")[:1].isdigit() for text in known)


def note(message: str) -> None:
    """A line for people on standard error, so that standard output stays clean."""
    print(message, file=sys.stderr)


@contextmanager
def warnings_as_notes(kind: type[Warning]) -> Iterator[None]:
    """Warnings of a kind are for people here, not for programmers: without the place in the code."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", kind)
        show = warnings.showwarning

        def tell(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, kind):
                note(f"note: {message}")
            else:
                show(message, category, *place, **more)

        warnings.showwarning = tell
        yield


def numbers(text: str, what: str) -> tuple[float, ...]:
    """Comma-separated numbers. Raises typer.BadParameter that names what they are for."""
    from fractions import Fraction

    try:
        return tuple(float(Fraction(part)) for part in text.split(","))
    except (ValueError, ZeroDivisionError):
        raise typer.BadParameter(f"{what} takes numbers separated by commas; got '{text}'") from None


def whole_numbers(text: str, what: str) -> tuple[int, ...]:
    """Comma-separated whole numbers of at least 1. Raises typer.BadParameter that names what they are for."""
    found = numbers(text, what)
    if not all(value.is_integer() and value > 0 for value in found):
        raise typer.BadParameter(f"{what} takes whole numbers of at least 1, separated by commas; got '{text}'")
    return tuple(int(value) for value in found)


def sizes(text: str | None) -> tuple[int, ...] | None:
    """The sizes of ``--input-shape``; None stays None."""
    return None if text is None else whole_numbers(text, "--input-shape")


def words(text: str | None, what: str) -> list[str] | None:
    """Comma-separated words, blanks around them left out; None stays None. Raises UserError where there is none."""
    if text is None:
        return None
    found = [word for part in text.split(",") if (word := part.strip())]
    if not found:
        raise UserError(f"{what} takes names separated by commas; got '{text}'")
    return found


def is_given(context: typer.Context, name: str) -> bool:
    """Whether a parameter was typed on the command line, and is not its default or from the environment."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _named(value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise UserError("--name takes the name of a network; it is empty")
    return value


NameOption = Annotated[str | None, typer.Option(help="Name of the network in the database.", callback=_named)]


def _cell(value: Any) -> str:
    from rich.markup import escape

    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))
