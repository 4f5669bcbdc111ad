"""The tables, figures and files of a study of precisions."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from rankline.src.compress.precision_study.rows import ORIGINAL, Baseline, Filed, Pair, PrecisionStudy, Remedied
from rankline.src.db.records.measure import ACCURACY, Measure
from rankline.src.dse.precision import PRECISIONS
from rankline.src.reports.report.latex import latex
from rankline.src.reports.study.precision_figures import sizes_figure, sums_figure
from rankline.src.reports.study.precision_files import precision_page, precision_tables, write_precision_study
from rankline.src.reports.study.precision_tables import independence_told, pairs_table
from tests.helpers.report_page import Page

HOSTILE = "</script><b>net & co"


def filed(precision: str, bytes: int, score: float, float_score: float = 0.9) -> Filed:
    return Filed(0.4, 0.5, precision, precision == "int8", bytes, float_score, score)


@pytest.fixture
def found() -> PrecisionStudy:
    pairs = [
        Pair(ORIGINAL, ORIGINAL, None, None, filed("f32", 4000, 0.9), 0.0, 0.0, 0.0),
        Pair(ORIGINAL, ORIGINAL, None, None, filed("int8", 1000, 0.89), 0.0, 0.01, 0.01),
        *(
            Pair("cp", "allocated", "flops", 0.5, filed(one, 800, 0.8, 0.88), 0.02, 0.01, 0.1)
            for one in PRECISIONS
            if one != "f32"
        ),
        Pair("tucker", "VBMF", None, None, filed("int8", 700, 0.87, 0.88), 0.02, 0.01, 0.03),
    ]
    return PrecisionStudy(
        HOSTILE,
        ACCURACY,
        "digits",
        100,
        "LiteRT 2",
        tuple(pairs),
        (Baseline("the original, not fitted", None, filed("int8", 1000, 0.88), 0.02),),
        (Remedied("small terms", 0.5, 12.5, filed("int8", 800, 0.7), 0.2),),
        ("qr, allocated, 50.0 % of the flops: too little",),
    )


def test_the_summary_counts_pairs_of_both_and_tells_their_deviation(found: PrecisionStudy) -> None:
    assert independence_told(found) == (
        "5 pairs: both deviate from the sum by 5.6 points in the mean, and by 7.0 points at most"
    )
    alone = replace(found, pairs=found.pairs[:2])
    assert independence_told(alone) == "no pair of a factorization and a precision other than f32"


def test_tables_have_exact_values_and_texts_for_people(found: PrecisionStudy) -> None:
    table = pairs_table(found)
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    assert [float(row["deviation"]) for row in rows] == [one.deviation for one in found.pairs]
    assert rows[0]["share"] == ""
    texts = dict(zip([column.title for column in table.columns], table.texts()[-1], strict=True))
    assert texts["method"] == "Tucker"
    assert (texts["lost by both"], texts["deviation"]) == ("+3.0 points", "0.0 points")
    assert "Left out: qr, allocated, 50.0 % of the flops: too little." in table.notes


def test_a_score_that_is_no_accuracy_is_told_in_its_own_numbers(found: PrecisionStudy) -> None:
    other = replace(found, measure=Measure("mean_absolute_error", is_higher_better=False))
    texts = pairs_table(other).texts()
    assert "0.87" in texts[-1]
    assert "+0.03" in texts[-1]


def test_figures_show_every_pair(found: PrecisionStudy) -> None:
    diagonal, *points = sums_figure(found).data
    assert list(diagonal.x) == list(diagonal.y)
    assert {trace.name: list(trace.y) for trace in points} == {"CP": [10.0] * 4, "Tucker": [3.0]}
    assert [trace.name for trace in sizes_figure(found).data] == [ORIGINAL, "CP", "Tucker"]
    assert sum(len(trace.x) for trace in sizes_figure(found).data) == len(found.pairs)


def test_the_page_loads_nothing_and_shows_every_table_and_figure(found: PrecisionStudy) -> None:
    tables = precision_tables(found)
    shown = Page(precision_page(found, tables))
    assert shown.loads == []
    assert set(shown.figures) == {"figure-sums", "figure-sizes"}
    assert len(shown.ids) == len(set(shown.ids))
    assert "<b>net & co" in shown.text
    for table in tables:
        assert table.title in shown.text
        assert latex(table).isascii()


def test_files_are_written_the_same_every_time(found: PrecisionStudy, tmp_path: Path) -> None:
    first, second = (write_precision_study(found, tmp_path / name) for name in ("a", "b"))
    names = [f"{name}.{kind}" for name in ("pairs", "baselines", "remedies") for kind in ("csv", "tex")]
    assert [path.name for path in first] == [*names, "precision.html"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    bare = replace(found, baselines=(), remedies=())
    assert [path.name for path in write_precision_study(bare, tmp_path / "c")] == [*names[:2], "precision.html"]
