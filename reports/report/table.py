"""A table of a report: exact values for machines, texts for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rankline.src.dse.numbers import MISSING, count
from rankline.src.dse.outgoing import for_csv


@dataclass(frozen=True)
class Column:
    """A column: its key in the rows, its title, and how its values are shown; ``number`` aligns it to the right."""

    key: str
    title: str
    show: Callable[[Any], str] = str
    number: bool = False


@dataclass(frozen=True)
class Table:
    """A table; ``name``: the stem of its files; ``rows``: values by the columns' keys, None if missing; ``notes``:
    sentences below it."""

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = ()

    def texts(self) -> list[list[str]]:
        """The rows as text for people, with a dash for None."""
        return [
            [MISSING if row[one.key] is None else one.show(row[one.key]) for one in self.columns] for row in self.rows
        ]

    def csv(self) -> str:
        """The rows as CSV, with the keys as header and empty cells for None; texts as ``for_csv`` makes them."""
        text = io.StringIO()
        writer = csv.DictWriter(text, [one.key for one in self.columns], lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows({key: for_csv(value) for key, value in row.items()} for row in self.rows)
        return text.getvalue()

    def as_dict(self) -> dict[str, Any]:
        """The table as plain values for JSON."""
        keys = [one.key for one in self.columns]
        rows = [{key: row[key] for key in keys} for row in self.rows]
        return {"title": self.title, "rows": rows, "notes": list(self.notes)}


def counted(key: str, title: str) -> Column:
    """A column of whole numbers."""
    return Column(key, title, count, number=True)


def yes_no(value: bool) -> str:
    """yes or no."""
    return "yes" if value else "no"
