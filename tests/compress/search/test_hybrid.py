"""The hybrid on real digits: every pair of methods searched once, and the best of them for each layer."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from rankline.src.compress.data.sets import Data
from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.runs import recorder
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.recorder import Recorder, recording
from rankline.src.compress.runs.run import Run
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.search import pair_search as parts
from rankline.src.compress.search.hybrid import ROUNDS, _best_layers, hybrid
from rankline.src.compress.search.pair_search import PairSearch
from rankline.src.compress.training.fine_tuning import DivergedError, Score
from rankline.src.compress.training.settings import FineTuning
from rankline.src.db.database import Database, open_database
from rankline.src.db.records.runs import CHOSEN, FAILED, FELL_SHORT, INTERRUPTED, SUCCESS, LayerRecord, TrialRecord
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import UserError
from rankline.src.dse.plan import read_plan
from tests.helpers.compression import compress

METHODS = {"conv": ("tucker", "svd"), "dense": ("svd", "qr")}
PAIRS = ["tucker svd", "tucker qr", "svd svd", "svd qr"]

QUICK = Settings(
    fine_tuning=FineTuning(epochs=0), include=("branch", "hidden"), drop_smallest=0.0, samples=50, step=0.3,
    max_drop=0.3, max_trials=4,
)  # fmt: skip
"""Two layers, and no training: the second trial of each pair is good enough."""

Hybrid = Callable[..., tuple[Run, Database]]


@pytest.fixture(scope="module")
def done(trained: keras.Model, few: Data, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    folder = tmp_path_factory.mktemp("hybrid")
    database = open_database(str(folder / "space.db"))
    database.explore(trained, name="tiny", methods=["tucker", "svd", "qr"])
    run = hybrid(Job(trained, few, database, "tiny"), QUICK, METHODS["conv"], METHODS["dense"])
    database.close()
    return run, folder


@pytest.fixture
def again(trained: keras.Model, few: Data, done: tuple[Run, Path], tmp_path: Path) -> Iterator[Hybrid]:
    """Asks for a hybrid in a copy of the folder in which one was made already."""
    shutil.copytree(done[1], tmp_path / "copy")
    database = open_database(str(tmp_path / "copy" / "space.db"))

    def run(**changes: Any) -> tuple[Run, Database]:
        methods = {f"{kind}_methods": changes.pop(kind, METHODS[kind]) for kind in METHODS}
        told = {name: changes.pop(name) for name in ("on_trial", "callbacks", "metric") if name in changes}
        more = {name: changes.pop(name) for name in ("on_part", "jobs") if name in changes}
        job = Job(trained, few, database, "tiny", **told)
        return hybrid(job, replace(QUICK, **changes), **methods, **more), database

    yield run
    database.close()


def test_every_pair_is_a_run_of_its_own_and_the_hybrid_tells_which(done: tuple[Run, Path]) -> None:
    run, folder = done
    database = open_database(str(folder / "space.db"))
    *parts, whole = database.runs()
    database.close()
    assert [f"{row['settings']['conv_method']} {row['settings']['dense_method']}" for row in parts] == PAIRS
    assert {row["status"] for row in parts} == {SUCCESS}
    assert whole["id"] == run.id
    assert whole["settings"]["parts"] == dict(zip(PAIRS, (row["id"] for row in parts), strict=True))
    assert (whole["settings"]["conv_method"], whole["settings"]["dense_method"]) == (["tucker", "svd"], ["svd", "qr"])


def test_each_layer_has_the_method_that_left_it_with_the_lowest_objective(done: tuple[Run, Path]) -> None:
    run, folder = done
    database = open_database(str(folder / "space.db"))
    ends = [next(row for row in database.trials(part) if row["status"] == CHOSEN) for part in range(1, 5)]
    database.close()
    for one in run.chosen.layers:
        others = [other for end in ends for other in end["layers"] if other["layer"] == one.layer]
        assert one.cost.params == min(other["params"] for other in others)
        assert (one.method, list(one.ranks or ())) in [(other["method"], other["ranks"]) for other in others]
    assert run.chosen.cost.params <= min(end["params"] for end in ends)
    assert run.status == SUCCESS
    assert run.chosen.accuracy is not None
    assert run.chosen.accuracy >= run.original.accuracy - QUICK.max_drop


def part_of(pair: tuple[str, str], **params: tuple[str | None, int]) -> PairSearch:
    layers = tuple(
        LayerRecord(layer, None if method is None else Configuration(method, (1,)), Cost(count, 10 - count, 0))
        for layer, (method, count) in params.items()
    )
    chosen = TrialRecord(1, CHOSEN, 0.9, 0.1, Cost(9, 9, 9), 1.0, layers)
    return PairSearch(1, Settings(conv_method=pair[0], dense_method=pair[1]), SUCCESS, chosen, chosen)


def test_the_best_of_several_parts_are_put_together_layer_by_layer() -> None:
    made = [
        part_of(("tucker", "svd"), a=("tucker", 3), b=(None, 9), c=("svd", 4)),
        part_of(("svd", "qr"), a=("svd", 5), b=("svd", 8), c=("qr", 4)),
        part_of(("svd", "t3f"), a=("svd", 5), b=("svd", 8), c=("t3f", 2), d=("svd", 1)),
    ]
    assert {one.layer: one.method for one in _best_layers(made, lambda one: one.cost.params)} == {
        "a": "tucker", "b": "svd", "c": "t3f", "d": "svd",
    }  # fmt: skip
    assert {one.layer: one.method for one in _best_layers(made[:2], lambda one: one.cost.params)} == {
        "a": "tucker",
        "b": "svd",
        "c": "svd",
    }
    assert {one.layer: one.method for one in _best_layers(made[:2], lambda one: one.cost.fm)} == {
        "a": "svd",
        "b": None,
        "c": "svd",
    }


def test_what_is_on_record_is_not_searched_again_and_the_delivered_file_agrees_with_the_record(
    trained: keras.Model, few: Data, done: tuple[Run, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "search", lambda *_, **__: pytest.fail("searched again"))
    shutil.copytree(done[1], tmp_path / "copy")
    database = open_database(str(tmp_path / "copy" / "space.db"))
    out = tmp_path / "small.keras"
    result = compress(trained, few, database, strategy="hybrid", methods=METHODS, settings=QUICK, out=out)
    rows = database.runs()
    last = database.trials(result.run.id)[-1]
    before = {row["name"]: row for row in database.layers()}
    database.close()
    assert [row["id"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert (rows[-1]["status"], rows[-1]["accuracy"]) == (SUCCESS, result.delivered.test.accuracy)
    assert result.plan == done[0].plan == read_plan(out.with_suffix(".plan.json"))
    assert result.plan == {one["layer"]: Configuration(one["method"], tuple(one["ranks"])) for one in last["layers"]}
    written = cost_of(keras.saving.load_model(out))
    assert (written.params, written.fm, written.flops) == (last["params"], last["fm"], last["flops"])
    original = cost_of(trained)
    for metric in ("params", "fm", "flops"):
        saved = sum(before[one["layer"]][metric] - one[metric] for one in last["layers"])
        assert getattr(written, metric) == getattr(original, metric) - saved
    assert last["construct_seconds"] <= last["seconds"]


def test_pairs_that_come_to_the_same_targets_are_searched_once(again: Hybrid) -> None:
    """Without a dense layer to factorize, SVD and QR are the same pair."""
    told: list[tuple[Any, ...]] = []
    again(include=("branch",), on_part=lambda *part: told.append(part), max_trials=1)
    assert [(one.conv_method, one.dense_method, number, count) for one, number, count in told] == [
        ("tucker", "svd", 1, 2),
        ("svd", "svd", 2, 2),
    ]


def test_settings_that_decide_otherwise_are_searched_anew(again: Hybrid) -> None:
    _, database = again(conv=("svd",), dense=("qr",), seed=5)
    assert [row["seed"] for row in database.runs()] == [0] * 5 + [5, 5]


def never_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the hybrid's own trials fall short; the searches' are judged as ever."""

    @contextmanager
    def harsh(job: Job, settings: Mapping[str, Any], seed: int) -> Iterator[Recorder]:
        with recording(job, settings, seed) as one:
            monkeypatch.setattr(one, "judged", lambda model: Score(0.0, 9.0))
            yield one

    monkeypatch.setattr("rankline.src.compress.search.hybrid.recording", harsh)


def test_a_hybrid_that_falls_short_hands_over_the_smallest_part(
    again: Hybrid, done: tuple[Run, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    never_good(monkeypatch)
    told: list[TrialRecord] = []
    run, database = again(on_trial=told.append)
    parts = [next(row for row in database.trials(part) if row["status"] == CHOSEN) for part in range(1, 5)]
    smallest = min(parts, key=lambda row: row["params"])
    trials = database.trials(run.id)
    assert [row["status"] for row in trials] == ["original", *["tried"] * ROUNDS, "chosen"]
    assert run.status == SUCCESS
    assert (run.chosen.cost.params, run.chosen.accuracy) == (smallest["params"], smallest["accuracy"])
    assert cost_of(run.model) == run.chosen.cost
    assert [trial.number for trial in told] == list(range(ROUNDS + 2))


def test_the_smallest_part_is_made_again_where_its_file_is_gone(
    again: Hybrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_good(monkeypatch)
    kept, database = again()
    shutil.rmtree(tmp_path / "copy" / "space.db.runs")
    made, _ = again()
    assert made.chosen.layers == kept.chosen.layers
    for one, other in zip(made.model.get_weights(), kept.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [row["status"] for row in database.runs()][:4] == [SUCCESS] * 4


def test_where_no_part_is_good_enough_the_nearest_is_tuned_on_and_said_to_fall_short(again: Hybrid) -> None:
    run, database = again(max_drop=0.0, max_trials=1)
    *parts, whole = [row for row in database.runs() if row["id"] > 5]
    assert {row["status"] for row in parts} == {FELL_SHORT}
    nearest = max((database.trials(row["id"])[1] for row in parts), key=lambda trial: trial["accuracy"])
    assert run.status == FELL_SHORT
    assert [(one.layer, one.method) for one in run.chosen.layers] == [
        (one["layer"], one["method"]) for one in nearest["layers"]
    ]
    assert run.chosen.number == ROUNDS
    assert whole["id"] == run.id


def test_parts_that_fell_short_go_on_when_more_trials_are_allowed(again: Hybrid) -> None:
    _, database = again(conv=("svd",), dense=("svd",), max_drop=0.0, max_trials=1)
    few = [(row["id"], row["trials"]) for row in database.runs()][5:6]
    again(conv=("svd",), dense=("svd",), max_drop=0.0, max_trials=2)
    assert few == [(6, 1)]
    assert [row["trials"] for row in database.runs() if row["id"] == 6] == [2]
    again(conv=("svd",), dense=("svd",), max_drop=0.0, max_trials=2)
    assert len(database.runs()) == 5 + 1 + 3


def test_ctrl_c_ends_the_hybrid_which_goes_on_when_it_is_asked_for_again(again: Hybrid) -> None:
    def interrupt(record: TrialRecord) -> None:
        if record.number == 2:
            raise KeyboardInterrupt

    told: list[tuple[Any, ...]] = []
    with pytest.raises(KeyboardInterrupt):
        again(seed=7, on_trial=interrupt, on_part=lambda *part: told.append(part))
    assert len(told) == 1
    run, database = again(seed=7)
    rows = [row for row in database.runs() if row["seed"] == 7]
    assert [row["status"] for row in rows[:-1]] == [SUCCESS] * 4
    assert rows[-1]["id"] == run.id == rows[0]["id"] + 4


def test_a_pair_that_diverges_is_passed_over(again: Hybrid, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = recorder.evaluate
    calls: list[str] = []

    def diverge(model: keras.Model, *arguments: Any, **more: Any) -> Score:
        calls.append(model.name)
        if 1 < len(calls) <= 5:
            raise DivergedError("NaN")
        return evaluate(model, *arguments, **more)

    monkeypatch.setattr("rankline.src.compress.runs.recorder.evaluate", diverge)
    run, database = again(seed=9, conv=("tucker", "svd"), dense=("svd",))
    rows = [row for row in database.runs() if row["seed"] == 9]
    assert [row["status"] for row in rows[:2]] == [FAILED, SUCCESS]
    assert rows[-1]["settings"]["parts"] == {"svd svd": rows[1]["id"]}
    assert run.status == SUCCESS


def test_a_hybrid_that_diverges_hands_over_the_smallest_part(again: Hybrid, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: Any, **__: Any) -> None:
        raise DivergedError("NaN")

    monkeypatch.setattr("rankline.src.compress.runs.recorder.evaluate", diverge)
    run, database = again()
    assert [row["status"] for row in database.trials(run.id)] == ["original", "failed", "chosen"]
    assert run.status == SUCCESS


def test_ctrl_c_while_the_hybrid_itself_is_tuned_is_on_record(again: Hybrid, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("rankline.src.compress.runs.recorder.fine_tune", interrupt)
        with pytest.raises(KeyboardInterrupt):
            again()
    run, database = again()
    assert [row["status"] for row in database.runs()][5] == INTERRUPTED
    assert run.id == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv": ("tuker",)}, "did you mean 'tucker'"),
        ({"dense": ("tucker",)}, "dense_method cannot be 'tucker'"),
        ({"conv": ()}, "at least one method for each kind of layer"),
        ({"include": ("brunch",)}, "unknown layer 'brunch'; did you mean 'branch'"),
    ],
)
def test_methods_that_cannot_be_are_refused_before_any_search(
    again: Hybrid, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        again(**changes, on_part=lambda *_: pytest.fail("searched"))
