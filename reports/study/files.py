"""The study's files: a CSV and a LaTeX file for each table, and one page with everything."""

from __future__ import annotations

from pathlib import Path

from rankline.src.dse.errors import UserError
from rankline.src.reports.report.html import environment, write_whole
from rankline.src.reports.report.latex import latex
from rankline.src.reports.study.study import Study

PAGE = "study.html"


def write_study(study: Study, folder: Path) -> list[Path]:
    """Writes all files into ``folder``, which is made if need be, each whole or not at all; returns their paths.

    Raises UserError where they can't be written.
    """
    texts = {}
    for table in study.tables():
        texts[f"{table.name}.csv"] = table.csv()
        texts[f"{table.name}.tex"] = latex(table)
    texts[PAGE] = page(study)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            write_whole(folder / name, text)
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror}; name a folder that you can write") from error
    return [folder / name for name in texts]


def page(study: Study) -> str:
    """The study as one HTML file that needs nothing else."""
    from jinja2 import ChoiceLoader, PackageLoader

    shown = environment().overlay(
        loader=ChoiceLoader([PackageLoader("rankline.src.reports.study"), PackageLoader("rankline.src.reports.report")])
    )
    return shown.get_template("study.html").render(study=study)
