"""The whole job on real digits: a smaller model, found from the database, on record."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from rankline.src.compress.compression import Compression
from rankline.src.compress.data.sets import Data
from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.model.surgery import factorize
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.search.candidates import candidates
from rankline.src.compress.search.search import search
from rankline.src.compress.training.fine_tuning import DivergedError, evaluate, fine_tune
from rankline.src.compress.training.settings import FineTuning
from rankline.src.db.database import open_database
from rankline.src.db.records.runs import FAILED, FELL_SHORT, INTERRUPTED, SUCCESS, TrialRecord
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import conv
from rankline.src.dse.options import Options
from rankline.src.dse.plan import read_plan
from tests.helpers.compression import compress

QUICK = Settings(
    fine_tuning=FineTuning(epochs=4, learning_rate=5e-3), step=0.25, samples=200, max_trials=12, max_drop=0.08
)


@pytest.fixture(scope="module")
def done(trained: keras.Model, digits: Data, tmp_path_factory: pytest.TempPathFactory) -> tuple[Compression, Path]:
    folder = tmp_path_factory.mktemp("run")
    result = compress(trained, digits, str(folder / "space.db"), out=folder / "small.keras", settings=QUICK)
    return result, folder


def test_the_model_is_much_smaller_and_about_as_accurate(done: tuple[Compression, Path], digits: Data) -> None:
    result, _ = done
    assert result.run.status == SUCCESS
    assert result.run.chosen.cost.params <= 0.4 * result.run.original.cost.params
    score = evaluate(result.model, digits.x_validation, digits.y_validation)
    assert score.accuracy >= result.run.original.accuracy - QUICK.max_drop
    assert score.accuracy == result.run.chosen.accuracy


def test_the_counts_of_the_written_model_are_those_of_its_plan(done: tuple[Compression, Path]) -> None:
    result, folder = done
    written = cost_of(keras.saving.load_model(folder / "small.keras"))
    original = cost_of(result.original)
    database = open_database(str(folder / "space.db"))
    saved = {"params": 0, "fm": 0, "flops": 0}
    for row in database.trials(result.run.id)[-1]["layers"]:
        before = next(layer for layer in database.layers() if layer["name"] == row["layer"])
        saved = {metric: saved[metric] + before[metric] - row[metric] for metric in saved}
    database.close()
    assert written == result.run.chosen.cost
    for metric, less in saved.items():
        assert getattr(written, metric) == getattr(original, metric) - less


def test_the_file_loads_with_keras_alone_and_gives_the_same_outputs(
    done: tuple[Compression, Path], digits: Data
) -> None:
    result, folder = done
    np.save(folder / "x.npy", digits.x_test[:32])
    script = (
        "import sys, keras, numpy as np\n"
        f"model = keras.saving.load_model({str(folder / 'small.keras')!r})\n"
        f"np.save({str(folder / 'y.npy')!r}, model.predict(np.load({str(folder / 'x.npy')!r}), verbose=0))\n"
        "assert not {'rankline'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-I", "-c", script], check=True, capture_output=True)
    assert np.array_equal(np.load(folder / "y.npy"), result.model.predict(digits.x_test[:32], verbose=0))


def test_every_trial_and_choice_is_on_record(done: tuple[Compression, Path]) -> None:
    result, folder = done
    database = open_database(str(folder / "space.db"))
    (run,) = database.runs()
    trials = database.trials(run["id"])
    database.close()
    assert (run["status"], run["accuracy"]) == (SUCCESS, result.delivered.test.accuracy)
    assert [row["status"] for row in trials] == ["original", *["tried"] * (len(trials) - 2), "chosen"]
    assert [row["accuracy"] for row in trials] == [trial.accuracy for trial in result.trials]
    ranks = {row["layer"]: tuple(row["ranks"]) for row in trials[-1]["layers"] if row["ranks"]}
    assert ranks == {path: choice.ranks for path, choice in result.plan.items()}
    assert read_plan(folder / "small.plan.json") == result.plan
    assert all(0 <= row["similarity"] <= 1 and 0 <= row["error"] <= 1 for row in trials[-1]["layers"])


def test_the_first_trial_has_all_ranks_one_and_ranks_only_rise(done: tuple[Compression, Path]) -> None:
    _, *trials = done[0].trials
    assert all(set(layer.ranks or ()) == {1} for layer in trials[0].layers)
    for before, after in pairwise(trials):
        pairs = list(zip(before.layers, after.layers, strict=True))
        assert all(old.cost.params <= new.cost.params for old, new in pairs)
        assert any(old.ranks != new.ranks for old, new in pairs)


def test_the_plan_rebuilds_the_architecture(done: tuple[Compression, Path]) -> None:
    result, _ = done
    again = factorize(result.original, result.plan)
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in result.model.weights]


def test_the_same_seed_gives_the_same_choices(trained: keras.Model, few: Data, tmp_path: Path) -> None:
    tuning = FineTuning(epochs=1, learning_rate=3e-3, batch_size=64)
    settings = Settings(fine_tuning=tuning, step=0.1, samples=100, max_trials=2, max_drop=0, seed=7)
    runs = []
    for number in range(2):
        database = open_database(str(tmp_path / f"{number}.db"))
        database.explore(trained, name="tiny")
        runs.append(search(Job(trained, few, database, "tiny"), settings))
        database.close()
    assert runs[0].plan == runs[1].plan
    assert [trial.accuracy for trial in runs[0].trials] == [trial.accuracy for trial in runs[1].trials]
    assert [trial.layers for trial in runs[0].trials] == [trial.layers for trial in runs[1].trials]


def test_a_run_out_of_trials_returns_its_best_and_says_that_it_falls_short(
    trained: keras.Model, digits: Data, tmp_path: Path
) -> None:
    settings = Settings(fine_tuning=FineTuning(epochs=0), samples=50, max_trials=2, max_drop=0)
    result = compress(trained, digits, str(tmp_path / "space.db"), settings=settings)
    assert result.run.status == FELL_SHORT
    assert result.run.chosen.accuracy == max(trial.accuracy for trial in result.trials[1:])
    database = open_database(str(tmp_path / "space.db"))
    assert [row["status"] for row in database.trials(1)].count("chosen") == 1
    assert database.runs()[0]["status"] == FELL_SHORT
    database.close()


def test_a_search_by_flops_starts_at_the_fewest_flops(trained: keras.Model, digits: Data, tmp_path: Path) -> None:
    settings = Settings(objective="flops", fine_tuning=FineTuning(epochs=0), samples=50, max_trials=1)
    result = compress(trained, digits, str(tmp_path / "space.db"), settings=settings)
    database = open_database(str(tmp_path / "space.db"))
    for layer in result.trials[1].layers:
        assert layer.cost.flops == database.solutions(layer.layer, layer.method or "").lowest("flops").flops
    database.close()


def test_candidates_rise_level_by_level_and_never_repeat(tmp_path: Path) -> None:
    database = open_database(str(tmp_path / "space.db"))
    database.explore([conv("c", (3, 3), 16, 24, (8, 8))], name="net")
    solutions = database.solutions("c", "tucker")
    one = list(candidates(solutions, "params", step=0.1, max_solutions=1, tolerance=0.005, seed=0))
    ten = list(candidates(solutions, "params", step=0.1, max_solutions=10, tolerance=0.005, seed=0))
    database.close()
    assert one[0].ranks == (1, 1)
    assert [solution.params for solution in one] == sorted(solution.params for solution in one)
    assert len(one) == len(set(one)) >= 8
    assert len(ten) == len(set(ten)) > len(one)


def test_weights_that_are_not_finite_are_refused(trained: keras.Model, digits: Data, tmp_path: Path) -> None:
    broken = factorize(trained, {})
    kernel = np.array(broken.get_layer("conv").kernel)
    kernel[0, 0, 0, 0] = np.nan
    broken.get_layer("conv").set_weights([kernel])
    with pytest.raises(UserError, match=r"weight 'conv/kernel'.*NaN"):
        compress(broken, digits, str(tmp_path / "space.db"), settings=QUICK)


def test_a_network_without_anything_to_gain_is_refused_with_the_reasons(digits: Data, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 8), keras.layers.Flatten()], name="bare")
    model.add(keras.layers.Dense(10, name="out"))
    with pytest.raises(UserError, match=r"no layer of 'bare' can be made smaller \(.*out: no rank of svd"):
        compress(model, digits, str(tmp_path / "space.db"), settings=QUICK)


BRIEF = Settings(fine_tuning=FineTuning(epochs=0), samples=20, max_trials=1)


def spaces_of(path: Path) -> list[tuple[object, ...]]:
    database = open_database(str(path))
    rows = [(row["layer"], row["method"], row["n_total"]) for row in database.spaces()]
    database.close()
    return rows


def test_only_missing_methods_are_explored_and_restricted_spaces_stay(
    trained: keras.Model, digits: Data, tmp_path: Path
) -> None:
    path = tmp_path / "space.db"
    database = open_database(str(path))
    database.explore(trained, methods=["tucker"], options=Options(rank_multiple=4))
    database.close()
    before = spaces_of(path)
    compress(trained, digits, str(path), settings=BRIEF)
    assert [row for row in spaces_of(path) if row[1] == "tucker"] == before
    assert {method for _, method, _ in spaces_of(path)} == {"tucker", "svd"}


def test_a_network_of_that_name_with_other_layers_is_refused(
    trained: keras.Model, digits: Data, tmp_path: Path
) -> None:
    database = open_database(str(tmp_path / "space.db"))
    database.explore([conv("c", (3, 3), 4, 4, (8, 8))], name="tiny")
    with pytest.raises(UserError, match="another network named 'tiny', with other layers"):
        compress(trained, digits, database, settings=BRIEF)
    database.close()


def classifier(*inner: keras.Layer) -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((8, 8, 1)), *inner, layers.Flatten(), layers.Dense(10, name="classes")], name="own"
    )


def test_a_model_that_cannot_be_loaded_again_is_refused_before_a_run_starts(digits: Data, tmp_path: Path) -> None:
    @keras.saving.register_keras_serializable()
    class Registered(keras.layers.Dense):
        pass

    class Unregistered(keras.layers.Layer):
        def call(self, inputs: object) -> object:
            return inputs

    path = str(tmp_path / "space.db")
    for layer in (keras.layers.Lambda(lambda x: x), Unregistered()):
        with pytest.raises(UserError, match="model 'own' cannot be saved and loaded again.*register_keras"):
            compress(classifier(layer), digits, path, settings=BRIEF)
    assert not Path(path).exists()
    compress(classifier(Registered(6)), digits, path, settings=BRIEF)


def test_a_delivery_that_fails_is_on_record(
    trained: keras.Model, digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("rankline.src.compress.runs.deliver.write_plan", full)
    database = open_database(str(tmp_path / "space.db"))
    with pytest.raises(OSError, match="No space"):
        compress(trained, digits, database, settings=BRIEF)
    assert database.runs()[0]["status"] == FAILED
    database.close()


def test_layers_that_cannot_be_factorized_are_skipped_with_the_reason(digits: Data, tmp_path: Path) -> None:
    class Own(keras.layers.Dense):
        def call(self, x: Any) -> Any:
            return super().call(x)

    keras.saving.register_keras_serializable()(Own)
    model = classifier(keras.layers.SeparableConv2D(8, 3, depth_multiplier=4, name="separable"), Own(8, name="derived"))
    result = compress(model, digits, str(tmp_path / "space.db"), settings=BRIEF)
    assert set(result.plan) == {"separable/pointwise", "classes"}
    assert "depthwise part" in result.run.skipped["separable/depthwise"]
    assert "Own has a call of its own" in result.run.skipped["derived"]


def test_a_trial_that_diverges_is_recorded_and_the_next_one_tried(
    trained: keras.Model, digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def diverge_once(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise DivergedError("the loss is nan")

    monkeypatch.setattr("rankline.src.compress.runs.recorder.fine_tune", diverge_once)
    database = open_database(str(tmp_path / "space.db"))
    settings = replace(BRIEF, max_trials=3, max_drop=0)
    result = compress(trained, digits, database, settings=settings)
    trials = database.trials(1)
    database.close()
    assert [trial["status"] for trial in trials].count("failed") == 1
    assert (trials[2]["status"], trials[2]["accuracy"], trials[2]["loss"]) == ("failed", None, None)
    assert trials[3]["accuracy"] is not None
    assert result.run.status == FELL_SHORT


def test_a_run_of_diverging_trials_alone_fails(
    trained: keras.Model, digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object) -> None:
        raise DivergedError("the loss is nan")

    monkeypatch.setattr("rankline.src.compress.runs.recorder.fine_tune", diverge)
    database = open_database(str(tmp_path / "space.db"))
    with pytest.raises(UserError, match="all 1 trials diverged.*lower the learning rate"):
        compress(trained, digits, database, settings=BRIEF)
    assert database.runs()[0]["status"] == FAILED
    database.close()


def test_training_on_numbers_that_are_far_too_large_diverges(digits: Data) -> None:
    model = classifier()
    x, y = np.full((8, 8, 8, 1), 3e38, np.float32), np.arange(8)
    with pytest.raises(DivergedError, match="check the data's range"):
        fine_tune(model, (x, y), (x, y), FineTuning(epochs=1), seed=0)


def test_ctrl_c_hands_over_the_best_trial_so_far(trained: keras.Model, digits: Data, tmp_path: Path) -> None:
    def interrupt(record: TrialRecord) -> None:
        if record.number == 2:
            raise KeyboardInterrupt

    database = open_database(str(tmp_path / "space.db"))
    settings = replace(BRIEF, max_trials=9, max_drop=0)
    out = tmp_path / "small.keras"
    result = compress(trained, digits, database, settings=settings, on_trial=interrupt, out=out)
    (run,) = database.runs()
    database.close()
    assert result.run.status == run["status"] == INTERRUPTED
    assert result.run.chosen.number == 1
    assert run["accuracy"] == result.delivered.test.accuracy
    assert cost_of(keras.saving.load_model(out)) == result.run.chosen.cost


def test_ctrl_c_before_there_is_a_trial_ends_the_run(trained: keras.Model, digits: Data, tmp_path: Path) -> None:
    def interrupt(record: TrialRecord) -> None:
        raise KeyboardInterrupt

    database = open_database(str(tmp_path / "space.db"))
    with pytest.raises(KeyboardInterrupt):
        compress(trained, digits, database, settings=BRIEF, on_trial=interrupt)
    (run,) = database.runs()
    assert (run["status"], run["trials"]) == (INTERRUPTED, 0)
    database.close()
