"""The study's files: CSV and LaTeX for each table, and a page with everything."""

from __future__ import annotations

from pathlib import Path

from rankline.src.dse.whole_file import write_texts
from rankline.src.reports.report.html import environment
from rankline.src.reports.report.latex import latex
from rankline.src.reports.study.study import Study

PAGE = "study.html"


def write_study(study: Study, folder: Path) -> list[Path]:
    """Writes all files atomically into ``folder``, created if need be; returns their paths.

    Raises UserError if they can't be written.
    """
    texts = {}
    for table in study.tables():
        texts[f"{table.name}.csv"] = table.csv()
        texts[f"{table.name}.tex"] = latex(table)
    texts[PAGE] = page(study)
    return write_texts(folder, texts)


def page(study: Study) -> str:
    """The study as one self-contained HTML file."""
    from jinja2 import ChoiceLoader, PackageLoader

    shown = environment().overlay(
        loader=ChoiceLoader([PackageLoader("rankline.src.reports.study"), PackageLoader("rankline.src.reports.report")])
    )
    return shown.get_template("study.html").render(study=study)
