"""The tables of a study for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rankline.cli.output import note, write_table

if TYPE_CHECKING:
    from rankline.src.reports.report.table import Table


def show_tables(tables: Iterable[Table]) -> None:
    """The tables with their notes, each of which is told once."""
    told: set[str] = set()
    for one in tables:
        write_table(one.title, [column.title for column in one.columns], one.texts())
        for line in one.notes:
            if line not in told:
                note(line)
        told.update(one.notes)
