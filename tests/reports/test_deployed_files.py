"""The files for runtimes of a run: in the report and on the runs page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rankline.src.db.database import Database, open_database
from rankline.src.db.records.measurements import DEPLOYED, deployed_of
from rankline.src.reports.explorer import runs_page
from rankline.src.reports.report.content import content
from rankline.src.reports.report.deployed_files import deployed_files
from rankline.src.reports.report.html import write_report
from rankline.src.reports.report.markdown import markdown
from tests.db.store_schema import MEASURED
from tests.reports.conftest import LAYERS, ORIGINAL, add_run, tried

LATER = replace(MEASURED, machine="a phone", latency_ps=7_000_000, score=None, keras_score=None, score_name=None)

ANOTHER = replace(MEASURED, model="2" * 64, file="another.tflite")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose second trial has a file, and three measurements: of that file, of it elsewhere, of another model."""
    made = tmp_path_factory.mktemp("files") / "space.db"
    database = open_database(str(made))
    database.explore(LAYERS, name="net", methods=["svd"])
    chosen = replace(tried(2, "chosen", 0.94, 700), made_by={"keep_flops": 0.5, DEPLOYED: MEASURED.as_dict()})
    add_run(database, "net", [ORIGINAL, tried(1, "tried", 0.8, 400), chosen])
    for one in (MEASURED, LATER, ANOTHER):
        database.record_measurement(one)
    database.close()
    return made


@pytest.fixture(scope="module")
def database(path: Path) -> Iterator[Database]:
    opened = open_database(str(path), read_only=True)
    yield opened
    opened.close()


def test_the_file_of_a_trial_and_what_else_was_measured_of_its_model_is_told(database: Database) -> None:
    table = deployed_files(database.trials(1), database.measurements())
    assert table is not None
    assert table.texts() == [
        ["2", "small.tflite", "litert 2.3.0", "int8", "1,000", "98.0 %", "99.0 %", "2 us", "a processor of 2 cores"],
        ["2", "small.tflite", "litert 2.3.0", "int8", "1,000", "–", "–", "7 us", "a phone"],
    ]
    assert table.csv().splitlines()[1].startswith("2,small.tflite,litert 2.3.0,int8,1000,0.98,0.99,2000000,")


def test_trials_without_a_file_have_no_table(database: Database) -> None:
    without = database.trials(1)[:2]
    assert [deployed_of(one.made_by) for one in without] == [None, None]
    assert deployed_files(without, database.measurements()) is None


def test_the_report_and_the_page_of_the_run_show_them(database: Database, report: Path) -> None:
    (run,) = database.runs()
    texts = (
        write_report(database, report).read_text(encoding="utf-8"),
        str(runs_page._shown(database, run)),
        markdown(content(database, None, None, 0), ()),
    )
    for text in texts:
        for part in ("Files for runtimes", "small.tflite", "int8", "1,000", "98.0 %", "2 us", "a phone"):
            assert part in text
        assert "another.tflite" not in text
