from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rankline.src.db.database import Database, open_database
from rankline.src.db.records.runs import SUCCESS, LayerRecord, TrialRecord, finish_run, record_trial, start_run
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost

HOSTILE = "a</script><img src=x onerror=alert(1)>{{7*7}}%{y}$b$&amp;\u2028"

LAYERS = [
    {"name": HOSTILE, "kind": "conv", "kernel": [3, 3], "in_channels": 4, "out_channels": 6, "in_size": [8, 8]},
    {"name": "twin", "kind": "conv", "kernel": [3, 3], "in_channels": 4, "out_channels": 6, "in_size": [8, 8]},
    {"name": "dense1", "kind": "dense", "in_channels": 24, "out_channels": 16},
    {"name": "kept1", "kind": "depthwiseconv2d", "kept_because": "depthwise <is> kept", "kept_params": 36},
]

SETTINGS = {
    "objective": "params",
    "max_drop": 0.02,
    "data": HOSTILE,
    "fine_tuning": {"epochs": 3},
    "skipped": {"dense1": "no rank lowers both"},
    "seed": 7,
}

ORIGINAL = TrialRecord(0, "original", 0.95, 0.2, Cost(1000, 900, 90_000), 0.5, ())


def tried(number: int, status: str, accuracy: float, params: int) -> TrialRecord:
    """A trial with Tucker on the first layer, and the second as it was."""
    layers = (
        LayerRecord(HOSTILE, Configuration("tucker", (2, 3)), Cost(80, 704, 9984), 0.91, 0.25),
        LayerRecord("twin", None, Cost(216, 216, 15_552), 1.0, 0.0),
    )
    return TrialRecord(number, status, accuracy, 0.3, Cost(params, 950, 60_000), 1.5, layers)


def add_run(database: Database, network: str, trials: list[TrialRecord], status: str = SUCCESS) -> int:
    """A finished run of those trials; returns its id."""
    run = start_run(database.engine, database.network_id(network), SETTINGS, 7)
    for trial in trials:
        record_trial(database.engine, run, trial)
    finish_run(database.engine, run, status, 0.925, 0.3)
    return run


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    opened = open_database(str(tmp_path_factory.mktemp("reports") / "empty.db"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A network without runs."""
    opened = open_database(str(tmp_path_factory.mktemp("reports") / "explored.db"))
    opened.explore(LAYERS, name=HOSTILE)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Two networks: one with a run that succeeded as run 1, one that fell short as run 2, and run 3 under way."""
    opened = open_database(str(tmp_path_factory.mktemp("reports") / "compressed.db"))
    opened.explore(LAYERS, name=HOSTILE)
    opened.explore(LAYERS, name="other", methods=["tucker", "svd"])
    add_run(opened, HOSTILE, [ORIGINAL, tried(1, "tried", 0.8, 400), tried(2, "chosen", 0.94, 700)])
    add_run(opened, "other", [ORIGINAL, tried(1, "tried", 0.9, 400), tried(2, "tried", 0.85, 700)], "fell short")
    start_run(opened.engine, opened.network_id("other"), SETTINGS, 7)
    yield opened
    opened.close()


@pytest.fixture
def report(tmp_path: Path) -> Path:
    return tmp_path / "report.html"
