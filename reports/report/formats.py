"""The formats of a report, by file ending."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rankline.src.dse.errors import UserError
from rankline.src.dse.whole_file import write_text
from rankline.src.reports.figures.images import Picture
from rankline.src.reports.report.content import Content
from rankline.src.reports.report.html import render
from rankline.src.reports.report.latex import escaped, included, latex
from rankline.src.reports.report.markdown import markdown
from rankline.src.reports.report.tables import layer_table, report_tables

Writer = Callable[[Content, Sequence[Picture]], str]


def tex(content: Content, pictures: Sequence[Picture]) -> str:
    """The opening sentences, the tables, and the pictures that LaTeX can include, for use in a document."""
    parts = [f"{escaped(' '.join(content.answer))}\n", *map(latex, report_tables(content))]
    return "\n".join([*parts, *(included(one.path, one.label) for one in pictures)])


WRITERS: Mapping[str, Writer] = {
    ".html": lambda content, pictures: render(content),
    ".md": markdown,
    ".tex": tex,
    ".csv": lambda content, pictures: layer_table(content).csv(),
}


def writer_for(path: Path) -> Writer:
    """The writer for a file's ending. Raises UserError for an ending that is not in ``WRITERS``."""
    if path.suffix.lower() not in WRITERS:
        raise UserError(f"cannot write a report to '{path.name}'; possible endings: {', '.join(WRITERS)}")
    return WRITERS[path.suffix.lower()]


def write_as(path: Path, content: Content, pictures: Sequence[Picture] = ()) -> Path:
    """Writes the content in the format of the file's ending, atomically; returns ``path``.

    ``pictures`` are for formats without figures of their own. Raises UserError.
    """
    near = [Picture(Path(os.path.relpath(one.path, path.parent)), one.label) for one in pictures]
    write_text(path, writer_for(path)(content, near))
    return path
