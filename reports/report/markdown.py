"""A report as Markdown, with GitHub's tables."""

from __future__ import annotations

from collections.abc import Sequence

from rankline.src.dse.outgoing import for_markdown
from rankline.src.reports.figures.images import Picture
from rankline.src.reports.report.content import Content
from rankline.src.reports.report.table import Table
from rankline.src.reports.report.tables import report_tables


def markdown(content: Content, pictures: Sequence[Picture]) -> str:
    """The opening sentences, the tables, and the pictures, if any."""
    parts = [f"# {for_markdown(content.network.name)}", for_markdown(" ".join(content.answer))]
    for one in report_tables(content):
        parts += [f"## {for_markdown(one.title)}", table(one), *map(for_markdown, one.notes)]
    if pictures:
        parts.append("## Figures")
        parts += [f"![{for_markdown(one.label)}](<{one.path.as_posix()}>)" for one in pictures]
    versions = ", ".join(f"{name} {version}" for name, version in content.versions)
    parts.append(for_markdown(f"Made {content.made} with {versions}."))
    return "\n\n".join(parts) + "\n"


def table(table: Table) -> str:
    """The table alone, with numbers right-aligned."""
    head = [for_markdown(column.title) for column in table.columns]
    places = ["---:" if column.number else "---" for column in table.columns]
    rows = [[for_markdown(text) for text in texts] for texts in table.texts()]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, places, *rows))
