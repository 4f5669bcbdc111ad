"""The files of a study of precisions: CSV and LaTeX for each table, and a page with everything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rankline.src.compress.precision_study.rows import PrecisionStudy
from rankline.src.reports.report.table import Table
from rankline.src.reports.study.files import render, write_tables
from rankline.src.reports.study.precision_figures import READING, sizes_figure, sums_figure
from rankline.src.reports.study.precision_tables import (
    baselines_table,
    independence_told,
    pairs_table,
    remedies_table,
)

PAGE = "precision.html"


def precision_tables(found: PrecisionStudy) -> list[Table]:
    """The tables that have rows."""
    tables = (pairs_table(found), baselines_table(found), remedies_table(found))
    return [one for one in tables if one.rows]


def write_precision_study(found: PrecisionStudy, folder: Path) -> list[Path]:
    """Writes all files atomically into ``folder``, created if need be; returns their paths, the page's last.

    Raises UserError if they can't be written.
    """
    tables = precision_tables(found)
    return write_tables(tables, folder, PAGE, precision_page(found, tables))


def precision_page(found: PrecisionStudy, tables: Sequence[Table]) -> str:
    """The study as one self-contained HTML file."""
    figures = [
        ("sums", "Lost by both, against the sum of what each loses", f"Dotted: where they add up. {READING}",
         sums_figure(found)),
        ("sizes", "Score and size of the files", f"Dashed: the original in Keras. {READING}", sizes_figure(found)),
    ]  # fmt: skip
    return render("precision.html", found=found, tables=tables, figures=figures, told=independence_told(found))
