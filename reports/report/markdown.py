"""A report as Markdown, with GitHub's tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rankline.src.reports.figures.images import Picture
from rankline.src.reports.report.content import Content
from rankline.src.reports.report.table import Table
from rankline.src.reports.report.tables import report_tables

SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#&~$])")


def escaped(text: str) -> str:
    """The text in one line, escaped so that Markdown shows it unchanged."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def markdown(content: Content, pictures: Sequence[Picture]) -> str:
    """The opening sentences, the tables, and the pictures, if any."""
    parts = [f"# {escaped(content.network.name)}", escaped(" ".join(content.answer))]
    for one in report_tables(content):
        parts += [f"## {escaped(one.title)}", table(one), *map(escaped, one.notes)]
    if pictures:
        parts.append("## Figures")
        parts += [f"![{escaped(one.label)}](<{one.path.as_posix()}>)" for one in pictures]
    versions = ", ".join(f"{name} {version}" for name, version in content.versions)
    parts.append(escaped(f"Made {content.made} with {versions}."))
    return "\n\n".join(parts) + "\n"


def table(table: Table) -> str:
    """The table alone, with numbers right-aligned."""
    head = [escaped(column.title) for column in table.columns]
    places = ["---:" if column.number else "---" for column in table.columns]
    rows = [[escaped(text) for text in texts] for texts in table.texts()]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, places, *rows))
