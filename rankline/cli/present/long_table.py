"""Tables too long for rich, which takes milliseconds a row: the same look, without bars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len, chop_cells, set_cell_size

MOST = 1_000
"""Rows that rich draws in about a second."""

GAP = "   "
"""What stands between two columns."""


@dataclass(frozen=True)
class Column:
    """A column of texts under a title. numeric: aligned to the right; least: the fewest characters it is folded to."""

    title: str
    texts: Sequence[str]
    numeric: bool
    least: int

    @property
    def widest(self) -> int:
        """Characters of its longest cell, or its title."""
        return max(map(cell_len, (self.title, *self.texts)))

    @property
    def narrowest(self) -> int:
        """Characters that it needs when its cells and its title are folded."""
        return max(self.least, *map(cell_len, self.title.split()), 1)


def narrowest(columns: Sequence[Column]) -> int:
    """Characters of a line when all columns are folded."""
    return sum(column.narrowest for column in columns) + len(GAP) * (len(columns) - 1) + 2


def lines(columns: Sequence[Column], room: int) -> Iterator[str]:
    """The table's lines. room: characters of a line, for which columns of texts are folded, the widest first."""
    widths = _widths(columns, room)
    titles = [_titled(column, width) for column, width in zip(columns, widths, strict=True)]
    blank = " " * (sum(widths) + len(GAP) * (len(columns) - 1) + 2)
    yield blank
    yield from _row(columns, titles, widths)
    yield f" {'─' * (len(blank) - 2)} "
    for texts in zip(*(column.texts for column in columns), strict=True):
        yield from _row(columns, [_folded(text, width) for text, width in zip(texts, widths, strict=True)], widths)
    yield blank


def _widths(columns: Sequence[Column], room: int) -> list[int]:
    widths = [column.widest for column in columns]
    over = sum(widths) + len(GAP) * (len(columns) - 1) + 2 - room
    for _ in range(over):
        widest = max(range(len(columns)), key=lambda j: (widths[j] > columns[j].narrowest, widths[j]))
        widths[widest] = max(widths[widest] - 1, columns[widest].narrowest)
    return widths


def _titled(column: Column, width: int) -> list[str]:
    return [column.title] if cell_len(column.title) <= width else column.title.split()


def _folded(text: str, width: int) -> list[str]:
    short = len(text) <= width if text.isascii() else cell_len(text) <= width
    return [text] if short else chop_cells(text, width)


def _row(columns: Sequence[Column], cells: Sequence[list[str]], widths: Sequence[int]) -> Iterable[str]:
    for texts in zip_longest(*cells, fillvalue=""):
        placed = [
            _placed(text, width, column.numeric) for text, width, column in zip(texts, widths, columns, strict=True)
        ]
        yield f" {GAP.join(placed)} "


def _placed(text: str, width: int, right: bool) -> str:
    if text.isascii():
        return text.rjust(width) if right else text.ljust(width)
    return " " * (width - cell_len(text)) + text if right else set_cell_size(text, width)
