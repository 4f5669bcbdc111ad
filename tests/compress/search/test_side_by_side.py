"""The searches of a hybrid in processes of their own: the same as one after the other."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from rankline.src.compress.data.sets import Data
from rankline.src.compress.model.files import save_model
from rankline.src.compress.runs.facts import key_of
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.search import side_by_side as module
from rankline.src.compress.search.hybrid import hybrid
from rankline.src.compress.search.side_by_side import searched
from rankline.src.compress.training.settings import FineTuning
from rankline.src.db.database import Database, open_database
from rankline.src.db.records.runs import INTERRUPTED, SUCCESS, TrialRecord
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.source import load_model
from tests.helpers.models import MODELS

QUICK = Settings(
    fine_tuning=FineTuning(epochs=1, learning_rate=3e-3, batch_size=64), include=("branch", "hidden"),
    drop_smallest=0.0, samples=50, max_drop=1.0,
)  # fmt: skip
"""Two layers, and the first trial of each search is good enough."""


def certainty(labels: np.ndarray, outputs: np.ndarray) -> float:
    return float(outputs.max(axis=1).mean())


def test_two_at_a_time_find_tell_and_record_the_same_as_one_after_the_other(
    trained: keras.Model, few: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, rows, told, parts = [], [], [], []
    for jobs in (1, 2):
        database = open_database(str(tmp_path / f"{jobs}.db"))
        database.explore(trained, name="tiny", methods=["tucker", "svd", "spatial_svd"])
        trials: list[TrialRecord] = []
        heard: list[tuple[str, int, int]] = []
        # What it goes to cannot be sent to another process, and need not.
        lock = threading.Lock()

        def progress(*given: Any, heard: list[Any] = heard, lock: Any = lock) -> None:
            with lock:
                heard.append(given)

        job = Job(trained, few, database, "tiny", trials.append, metric=certainty, progress=progress)
        runs.append(hybrid(job, QUICK, ("tucker", "spatial_svd"), ("svd",), jobs=jobs))
        rows.append([untimed(row) for part in runs[-1].parts for row in database.trials(part)])
        told.append([replace(trial, seconds=0, construct_seconds=0) for trial in trials])
        parts.append([given for given in heard if given[0] == "searches made"])
    assert parts == [[], [("searches made", 0, 2), ("searches made", 1, 2)]]
    assert rows[0] == rows[1]
    assert told[0] == told[1]
    one, other = runs
    assert (one.status, one.plan, one.skipped) == (other.status, other.plan, other.skipped)
    for a, b in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    monkeypatch.setattr("rankline.src.compress.search.pair_search.search", lambda *_: pytest.fail("searched again"))
    assert hybrid(job, QUICK, ("tucker", "spatial_svd"), ("svd",)).parts == other.parts


@pytest.mark.parametrize("name", ["sequential", "residual", "nested", "shared"])
def test_a_model_has_the_same_key_in_memory_and_from_its_file(name: str, few: Data, tmp_path: Path) -> None:
    model, database = MODELS[name][0](), Database("sqlite://")
    save_model(model, tmp_path / "model.keras")
    loaded = load_model(str(tmp_path / "model.keras"))
    one, other = (key_of(Job(side, few, database, "net"), QUICK) for side in (model, loaded))
    assert one == other
    loaded.set_weights([weight + 1 for weight in loaded.get_weights()])
    assert key_of(Job(loaded, few, database, "net"), QUICK) != one


def untimed(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in row if name not in ("id", "run", "seconds", "construct_seconds")}


def test_ctrl_c_ends_the_processes_and_their_runs_are_said_to_be_interrupted(
    trained: keras.Model, few: Data, tmp_path: Path
) -> None:
    location = str(tmp_path / "space.db")
    database = open_database(location)
    database.explore(trained, name="tiny", methods=["tucker", "svd", "spatial_svd"])

    def press(trial: TrialRecord) -> None:
        raise KeyboardInterrupt

    long = replace(QUICK, fine_tuning=FineTuning(epochs=10_000, patience=10_000))
    pairs = [replace(QUICK, conv_method="tucker"), replace(long, conv_method="spatial_svd")]
    with pytest.raises(KeyboardInterrupt):
        searched(Job(trained, few, database, "tiny", on_trial=press), pairs, lambda *_: None, jobs=2)
    rows = database.runs()
    database.close()
    ends = {row["settings"]["conv_method"]: row["status"] for row in rows}
    assert ends.pop("tucker") == SUCCESS
    assert ends in ({"spatial_svd": INTERRUPTED}, {})  # it may not have begun yet


def test_no_more_searches_run_at_a_time_than_memory_has_room_for(
    trained: keras.Model, few: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database(str(tmp_path / "space.db"))
    job = Job(trained, few, database, "tiny")
    monkeypatch.setattr(module, "available_bytes", lambda: 6 * 2**30)
    assert module._fitting(job) == 2
    monkeypatch.setattr(module, "available_bytes", lambda: 2**20)
    assert module._fitting(job) == 1
    large = replace(few, x_train=np.broadcast_to(np.float32(0), (2**30, 1)))
    monkeypatch.setattr(module, "available_bytes", lambda: 20 * 2**30)
    assert module._fitting(job) == 7
    assert module._fitting(replace(job, data=large)) == 3
    database.close()


@pytest.mark.parametrize(
    ("location", "told", "jobs", "message"),
    [
        ("space.db", {}, 0, "jobs must be at least 1; got 0"),
        ("sqlite://", {}, 2, "parallel searches need a database in an SQLite file"),
        ("space.db", {"metric": threading.Lock().acquire}, 2, "the metric cannot be sent to another process"),
        ("space.db", {"callbacks": [threading.Lock()]}, 2, "the callbacks cannot be sent to another process"),
    ],
)
def test_what_other_processes_cannot_have_is_refused(
    trained: keras.Model, few: Data, tmp_path: Path, location: str, told: dict[str, Any], jobs: int, message: str
) -> None:
    database = open_database(location if "://" in location else str(tmp_path / location))
    with pytest.raises(UserError, match=message):
        searched(Job(trained, few, database, "tiny", **told), [QUICK], lambda *_: None, jobs=jobs)
    database.close()
