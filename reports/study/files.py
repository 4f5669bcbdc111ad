"""The study's files: CSV and LaTeX for each table, and a page with everything."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rankline.src.dse.whole_file import write_texts
from rankline.src.reports.report.html import environment
from rankline.src.reports.report.latex import latex
from rankline.src.reports.report.table import Table
from rankline.src.reports.study.study import Study

PAGE = "study.html"


def write_study(study: Study, folder: Path) -> list[Path]:
    """Writes all files atomically into ``folder``, created if need be; returns their paths.

    Raises UserError if they can't be written.
    """
    return write_tables(study.tables(), folder, PAGE, page(study))


def write_tables(tables: Iterable[Table], folder: Path, name: str, page: str) -> list[Path]:
    """Writes tables and the page of that name as ``write_study`` does."""
    texts = {}
    for table in tables:
        texts[f"{table.name}.csv"] = table.csv()
        texts[f"{table.name}.tex"] = latex(table)
    texts[name] = page
    return write_texts(folder, texts)


def page(study: Study) -> str:
    """The study as one self-contained HTML file."""
    return render("study.html", study=study)


def render(template: str, **values: Any) -> str:
    """One of the study's templates as a self-contained HTML file."""
    from jinja2 import ChoiceLoader, PackageLoader

    shown = environment().overlay(
        loader=ChoiceLoader([PackageLoader("rankline.src.reports.study"), PackageLoader("rankline.src.reports.report")])
    )
    return shown.get_template(template).render(**values)
