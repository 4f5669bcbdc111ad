"""A sweep over budgets as a page, a figure, a CSV file; and reports of runs under a budget."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rankline.src.db.database import Database, open_database
from rankline.src.db.records.runs import SUCCESS, LayerRecord, TrialRecord, finish_run, record_trial, start_run
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import UserError
from rankline.src.reports.figures.sweep_curve import sweep_curve
from rankline.src.reports.report.html import write_report
from rankline.src.reports.report.sweep import COLUMNS, as_csv, page, sweep_rows, write_sweep
from tests.helpers.report_page import Page
from tests.reports.conftest import HOSTILE, LAYERS, ORIGINAL


def point(share: float, damage: float, accuracy: float | None) -> dict[str, Any]:
    return {
        "keep": {"flops": share}, "kept": {"flops": share - 0.01, "params": share - 0.1, "memory": share},
        "params": int(1000 * share), "fm": 900, "flops": int(90_000 * share), "memory_bytes": 7000,
        "damage": damage, "gap": 0.0, "validation_accuracy": accuracy, "test_accuracy": accuracy and accuracy - 0.01,
        "fit_seconds": 1.25, "file": f"out/flops-{share:g}.keras",
        "layers": [{"layer": HOSTILE, "method": "tucker", "ranks": [2, 3], "shape": None}],
    }  # fmt: skip


FOUND = {
    "run": 3, "network": HOSTILE, "methods": ["tucker"], "fit": "data", "samples": 64, "fine_tuned": False,
    "uncounted": [],
    "labels": True, "damage_unit": "squared error of the logits",
    "original": {"flops": 90_000, "params": 1000, "validation_accuracy": 0.96, "test_accuracy": 0.95},
    "points": [point(0.25, 6.5, 0.91), point(0.5, 0.75, 0.95)],
}  # fmt: skip
"""A sweep of two budgets over a network with a hostile name."""


@pytest.fixture
def without_labels() -> dict[str, Any]:
    found = copy.deepcopy(FOUND)
    for one in (found["original"], *found["points"]):  # type: ignore[misc]
        one |= {"validation_accuracy": None, "test_accuracy": None}  # type: ignore[operator]
    return {**found, "labels": False}


def test_the_table_has_a_row_for_each_budget_and_the_original() -> None:
    rows = sweep_rows(FOUND)
    assert all(len(row) == len(COLUMNS) for row in rows)
    assert rows[0] == ["FLOPs 0.25", "24.0 %", "15.0 %", 22_500, 250, "6.5", "91.0 %", "90.0 %", "1.2"]
    assert rows[-1] == ["original", "100.0 %", "100.0 %", 90_000, 1000, None, "96.0 %", "95.0 %", None]


def test_the_csv_file_has_numbers() -> None:
    read = pd.read_csv(pd.io.common.StringIO(as_csv(FOUND)))
    assert read["keep"].tolist() == [0.25, 0.5]
    assert read["flops"].tolist() == [22_500, 45_000]
    assert read["damage"].tolist() == [6.5, 0.75]


def test_the_page_shows_the_curve_the_points_and_the_choices_and_loads_nothing() -> None:
    found = Page(page(FOUND))
    assert found.loads == []
    assert "img" not in found.tags
    assert HOSTILE.rstrip("\u2028") in found.text
    assert "2 budgets, without training" in found.text
    assert "FLOPs 0.25 24.0 % 15.0 % 22,500 250 6.5 91.0 % 90.0 % 1.2" in found.text
    assert "Tucker" in found.text
    assert "2×3" in found.text
    curve = found.figures["sweep-curve"]
    test, validation, original = curve["data"]
    assert test["x"] == pytest.approx([24, 49])
    assert test["y"] == pytest.approx([90, 94])
    assert validation["y"] == pytest.approx([91, 95])
    assert (original["x"], original["y"]) == ([100], pytest.approx([95]))


def test_without_labels_the_curve_is_of_the_predicted_damage(without_labels: dict[str, Any]) -> None:
    found = Page(page(without_labels))
    assert "No accuracy is known" in found.text
    (damage,) = found.figures["sweep-curve"]["data"]
    assert damage["y"] == [6.5, 0.75]
    assert found.figures["sweep-curve"]["layout"]["yaxis"]["type"] == "log"


def test_a_budget_that_loses_nothing_has_no_place_on_a_logarithm() -> None:
    frame = pd.DataFrame({"kept": [0.5, 1.0], "test": [None, None], "validation": [None, None], "damage": [2.0, 0.0]})
    (trace,) = sweep_curve(frame, "params").data
    assert list(trace.y) == [2.0]


def test_the_files_are_written_whole_or_a_user_error_is_raised(tmp_path: Path) -> None:
    assert [one.name for one in write_sweep(FOUND, tmp_path)] == ["sweep.html", "sweep.csv"]
    assert all(one.exists() for one in write_sweep(FOUND, tmp_path / "new"))
    with pytest.raises(UserError, match="cannot write into"):
        write_sweep(FOUND, tmp_path / "sweep.csv")


def recorded(database: Database, trials: list[TrialRecord]) -> int:
    settings = {"strategy": "budget", "value": "damage", "damages": {"1": {HOSTILE: 3.0, "twin": 1.0}}}
    run = start_run(database.engine, database.network_id(HOSTILE), settings, 0)
    for one in trials:
        record_trial(database.engine, run, one)
    finish_run(database.engine, run, SUCCESS)
    return run


def trial(number: int, status: str, accuracy: float | None) -> TrialRecord:
    layers = (
        LayerRecord(HOSTILE, Configuration("tucker", (2, 3)), Cost(80, 704, 9984), 0.91),
        LayerRecord("twin", None, Cost(216, 216, 15_552), 1.0),
    )
    return TrialRecord(number, status, accuracy, None, Cost(600, 950, 50_000), 1.5, layers)


def unjudged() -> TrialRecord:
    return TrialRecord(0, "original", None, None, ORIGINAL.cost, 0.5, ())


def test_a_report_of_a_run_under_a_budget_tells_the_shares_of_the_damage(tmp_path: Path) -> None:
    database = open_database(str(tmp_path / "one.db"))
    database.explore(LAYERS, name=HOSTILE)
    run = recorded(database, [ORIGINAL, trial(1, "chosen", 0.94)])
    text = Page(write_report(database, tmp_path / "one.html", run=run).read_text(encoding="utf-8")).text
    assert "kept within the budget after 1 trial" in text
    assert "at −1.0 points of validation accuracy" in text
    assert "0.910 75.0 %" in text
    assert "kept: the budget had room for it" in text
    assert "damages" not in text
    database.close()


def test_a_report_of_a_run_without_labels_says_that_no_accuracy_is_known(tmp_path: Path) -> None:
    database = open_database(str(tmp_path / "two.db"))
    database.explore(LAYERS, name=HOSTILE)
    one = recorded(database, [unjudged(), trial(1, "chosen", None)])
    several = recorded(database, [unjudged(), trial(1, "tried", None), trial(2, "tried", None)])
    for run, told in ((one, "kept within the budget"), (several, "The numbers are those of trial 2, the last.")):
        path = write_report(database, tmp_path / f"{run}.html", run=run)
        found = Page(path.read_text(encoding="utf-8"))
        assert told in found.text
        assert "no accuracy is known: there were no labels." in found.text
        assert "run-path" not in found.figures
    database.close()


def test_a_report_of_a_sweep_has_the_curve_of_its_budgets(tmp_path: Path) -> None:
    database = open_database(str(tmp_path / "three.db"))
    database.explore(LAYERS, name=HOSTILE)
    made = [
        replace(trial(number, "tried", accuracy), made_by={"damage": damage, "keep_flops": 0.6})
        for number, accuracy, damage in ((1, 0.8, 5.0), (2, 0.9, 2.0))
    ]
    run = recorded(database, [ORIGINAL, *made])
    found = Page(write_report(database, tmp_path / "three.html", run=run).read_text(encoding="utf-8"))
    database.close()
    validation, original = found.figures["sweep-curve"]["data"]
    assert validation["x"] == pytest.approx([100 * 50_000 / ORIGINAL.cost.flops] * 2)
    assert validation["y"] == pytest.approx([80, 90])
    assert (original["name"], original["y"]) == ("original, validation", pytest.approx([95]))
