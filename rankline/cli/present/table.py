"""Tables for people, with bars on a terminal, and their cells as numbers for machines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rankline.cli.present.long_table import MOST, Column, lines, narrowest
from rankline.cli.present.terminal import BAR_WIDTH, bar_of, console
from rankline.src.dse.duration import duration_text
from rankline.src.dse.numbers import MISSING, percent, si
from rankline.src.dse.outgoing import for_terminal

if TYPE_CHECKING:
    from rich.table import Table

WORD = 10
"""Texts of up to this many characters are not folded in a table."""

BOUNDLESS = 10_000
"""Characters of a line without limit."""


@dataclass(frozen=True)
class Shown:
    """A value for machines, and its text for people; share: the length of its bar as a fraction, None for no bar."""

    value: Any
    text: str
    share: float | None = None

    def __str__(self) -> str:
        return self.text


def share(fraction: float | None, bar: bool = False) -> Shown:
    """A fraction, shown as percent, optionally with a bar."""
    return Shown(fraction, percent(fraction), fraction if bar else None)


def part(number: int | None, whole: int, short: bool = False) -> Shown:
    """A number, with a bar of its share of the whole; short: shown with three digits and an SI prefix."""
    text = si(number) if short else MISSING if number is None else f"{number:,}"
    return Shown(number, text, None if number is None or not whole else number / whole)


def duration(picoseconds: int | None, whole: int | None = None) -> Shown:
    """A time, shown with its unit, with a bar of its share of the whole, if that is given."""
    text = MISSING if picoseconds is None else duration_text(picoseconds)
    return Shown(picoseconds, text, picoseconds / whole if picoseconds and whole else None)


def rounded(value: float | None, digits: int) -> Shown:
    """A number, shown with this many decimals."""
    return Shown(value, MISSING if value is None else f"{value:,.{digits}f}")


def for_machines(value: Any) -> Any:
    """A cell for CSV: numbers at full precision, lists separated by blanks, booleans as in JSON."""
    if isinstance(value, Shown):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value


def drawn(
    title: str,
    columns: Sequence[str],
    body: Sequence[Sequence[Any]],
    drop_empty: bool = True,
    least_important: Sequence[str] = (),
) -> list[str]:
    """Prints a table under a title; numbers are right-aligned, and empty columns are dropped by default.

    Numbers and ``least_important`` columns are never folded: on a narrow terminal, bars are dropped first, then the
    titles of numbers are folded, then the least important columns are dropped, in order. Returns those.
    """
    shown = [
        column
        for j, column in enumerate(columns)
        if not (drop_empty and body) or any(row[j] not in (None, "") for row in body)
    ]
    # Without a terminal nothing is folded and no bar is drawn: a pipe gets every column in full.
    on_terminal = sys.stdout.isatty()
    screen = console(width=None if on_terminal else max(160, 24 * len(columns)))
    if len(body) > MOST:
        values = dict(zip(columns, zip(*body, strict=True), strict=True))
        long = {column: _long(column, values[column], least_important) for column in shown}
        left_out = [column for column in least_important if column in long and _dropped(long, column, screen.width)]
        screen.print(for_terminal(title), highlight=False, markup=False)
        print(*lines([*long.values()], screen.width), sep="\n")
        return left_out
    draft = _Draft(columns, body, set(least_important), screen.encoding)

    def room(table: Table, most: bool = False) -> bool:
        width = screen.measure(table, options=screen.options.update_width(BOUNDLESS))
        return (width.maximum if most else width.minimum) <= screen.width

    bars = on_terminal and room(draft.table(shown, bars=True, fold_titles=True))
    left_out = []
    table = draft.table(shown, bars)
    if not room(table, most=True):
        table = draft.table(shown, bars, fold_titles=True)
    for column in least_important:
        if column in shown and not room(table):
            shown.remove(column)
            left_out.append(column)
            table = draft.table(shown, fold_titles=True)
    screen.print(for_terminal(title), highlight=False, markup=False)
    screen.print(table)
    return left_out


@dataclass(frozen=True)
class _Draft:
    """The content of a table; whole: the columns that are not folded."""

    columns: Sequence[str]
    body: Sequence[Sequence[Any]]
    whole: set[str]
    encoding: str

    def table(self, shown: Sequence[str], bars: bool = False, fold_titles: bool = False) -> Table:
        from rich.box import SIMPLE_HEAD
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        places = [j for j, column in enumerate(self.columns) if column in shown]
        barred = {j for j in places if bars and any(_share(row[j]) is not None for row in self.body)}
        for j in places:
            title, values = for_terminal(self.columns[j]), [row[j] for row in self.body]
            if _is_numeric(values):
                title = title.replace(" ", "\n") if fold_titles else title
                table.add_column(escape(title), justify="right", no_wrap=True)
            else:
                longest = max((len(_cell(value)) for value in values), default=0)
                room = longest if self.columns[j] in self.whole else min(WORD, longest)
                table.add_column(escape(title), overflow="fold", min_width=room)
            if j in barred:
                table.add_column("", width=BAR_WIDTH, no_wrap=True, style="cyan")
        for row in self.body:
            cells = [[_cell(row[j]), *([self._bar(row[j])] if j in barred else [])] for j in places]
            table.add_row(*(text for some in cells for text in some))
        return table

    def _bar(self, value: Any) -> str:
        found = _share(value)
        return "" if found is None else bar_of(found, self.encoding)


def _share(value: Any) -> float | None:
    return value.share if isinstance(value, Shown) else None


def _is_numeric(values: Sequence[Any]) -> bool:
    """Whether a column holds numbers, including texts such as "93.8 %" or "<= 5.0 %"; some may be missing."""
    known = [str(value) for value in values if value is not None and str(value) != MISSING]
    return bool(known) and all(text.lstrip("−-<=~ ")[:1].isdigit() for text in known)


def _long(title: str, values: Sequence[Any], whole: Sequence[str]) -> Column:
    texts, numeric = [_text(value) for value in values], _is_numeric(values)
    longest = max(map(len, texts))
    return Column(for_terminal(title), texts, numeric, longest if numeric or title in whole else min(WORD, longest))


def _dropped(columns: dict[str, Column], one: str, room: int) -> bool:
    """Drops one of the columns if there is no room for all; returns whether it did."""
    crowded = narrowest([*columns.values()]) > room
    if crowded:
        del columns[one]
    return crowded


def _cell(value: Any) -> str:
    from rich.markup import escape

    return escape(_text(value))


def _text(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else for_terminal(str(value))
