"""Totals of a network with layers of unknown FLOPs: "at least" so many, wherever they are shown."""

from __future__ import annotations

import csv
import io

import keras
import pytest

from rankline.src.compress.runs.card import Card
from rankline.src.db.database import Database
from rankline.src.db.records.runs import TrialRecord
from rankline.src.dse.cost import Cost, total
from rankline.src.dse.metric import FLOPS, FM, MEMORY, PARAMS
from rankline.src.reports.explorer import network_page, runs_page
from rankline.src.reports.explorer.basket import basket_of
from rankline.src.reports.explorer.basket_part import _totals
from rankline.src.reports.report.comparison import compared
from rankline.src.reports.report.content import content
from rankline.src.reports.report.formats import WRITERS
from rankline.src.reports.report.sweep import as_csv, page, sweep_columns
from tests.reports.conftest import HOSTILE, add_run, tried

MISSING = "the FLOPs of kept1 are not known, and not in the sums"


def test_a_sum_with_an_unknown_part_is_not_whole() -> None:
    whole, part = Cost(1, 2, 3), Cost(1, 2, 3, is_whole=False)
    assert total([whole, whole]).is_whole
    assert not total([whole, part]).is_whole
    assert not (part - whole).is_whole
    assert whole == part
    for metric in (FM, FLOPS, MEMORY):
        assert metric.titled("it", part) == "it, at least"
        assert metric.titled("it", whole) == "it"
    assert PARAMS.titled("it", part) == "it"


@pytest.mark.parametrize("ending", [".html", ".md", ".tex"])
def test_reports_say_so(compressed: Database, ending: str) -> None:
    shown = WRITERS[ending](content(compressed, HOSTILE, 1, 0), ())
    assert MISSING in shown
    assert "FLOPs, at least" in shown
    assert "params, at least" not in shown


def test_a_report_without_a_run_says_so(explored: Database) -> None:
    for write in (WRITERS[".html"], WRITERS[".md"]):
        shown = write(content(explored, None, None, 0), ())
        assert MISSING in shown
        assert "at least 31.9k FLOPs" in shown


def test_the_csv_leaves_the_unknown_empty(compressed: Database) -> None:
    rows = list(csv.DictReader(io.StringIO(WRITERS[".csv"](content(compressed, HOSTILE, 1, 0), ()))))
    assert [row["flops"] == "" for row in rows] == [False, False, False, True]
    assert rows[-1]["kept"].endswith("its FLOPs are not known")


def test_the_explorer_says_so(compressed: Database) -> None:
    shown = str(network_page.layout(compressed, {"network": HOSTILE}).to_plotly_json())
    assert MISSING in shown
    assert "at least 31.9k" in shown
    (run,) = [row for row in compressed.runs() if row.id == 1]
    assert "FLOPs, at least" in str(runs_page._shown(compressed, run))
    kept = {HOSTILE: {"twin": "svd 3"}}
    totals = str(_totals(basket_of(compressed, HOSTILE, kept)))
    assert "FLOPs, at least" in totals
    assert "memory (bytes), at least" in totals


def test_runs_say_so(compressed: Database) -> None:
    assert [row.is_whole for row in compressed.networks()] == [False, False]
    assert [trial["is_whole"] for trial in compressed.trials(1)] == [False] * 3
    assert compared(compressed, 1, 2).sizes[1][0] == "FLOPs, at least"


def test_runs_of_a_network_that_is_known_say_nothing(empty: Database) -> None:
    empty.explore([{"name": "twin", "kind": "dense", "in_channels": 4, "out_channels": 6}], name="known")
    number = add_run(empty, "known", [TrialRecord(0, "original", 0.9, 0.2, Cost(24, 6, 48), 0.1, ())])
    assert empty.network("known").is_whole
    assert empty.trials(number)[0].cost.is_whole


def test_a_model_card_says_so() -> None:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((5, 4)), layers.LSTM(3, name="memory"), layers.Dense(2)],
    )
    unknown = Cost(100, 50, 12, is_whole=False)
    trials = [TrialRecord(0, "original", None, None, unknown, 0.1, ()), tried(1, "chosen", 0.9, 80)]
    card = Card("net", "Made.", trials[0], trials[1], []).text(model, {}, None, None)
    assert "| FLOPs of one sample, at least |" in card
    assert "At least: the FLOPs of memory are not known, and not in the sums." in card


def test_a_sweep_says_so() -> None:
    costs = {"params": 100, "fm": 50, "flops": 12, "memory_bytes": 600, "is_whole": False}
    scores = {"validation_accuracy": None, "test_accuracy": None}
    point = {
        **costs, **scores, "keep": {"flops": 0.5}, "kept": {"flops": 0.5, "params": 0.6, "memory": 0.7}, "damage": 0.1,
        "gap": 0.0, "fit_seconds": 1.0, "file": None, "layers": [],
    }  # fmt: skip
    found = {
        "original": {**costs, **scores}, "points": [point], "uncounted": ["kept1"], "network": "net",
        "fine_tuned": False, "methods": ["svd"], "fit": "data", "samples": 5, "labels": False, "damage_unit": "shares",
    }  # fmt: skip
    assert "FLOPs, at least" in sweep_columns(found)
    assert MISSING in page(found)
    assert next(csv.DictReader(io.StringIO(as_csv(found))))["is_whole"] == "False"
