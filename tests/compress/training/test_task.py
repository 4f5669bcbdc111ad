"""What a model is trained for and judged by: as it was compiled, or as the user says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from rankline.src.compress.data.sets import DataWarning
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.training.fine_tuning import evaluate, fine_tune
from rankline.src.compress.training.labelled import labelled_for
from rankline.src.compress.training.settings import Aim, FineTuning
from rankline.src.compress.training.task import Task, task_of
from rankline.src.db.records.measure import Measure
from rankline.src.db.records.runs import TrialRecord
from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import UserError

layers = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore::rankline.src.compress.data.sets.DataWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 4, 4, 2)).astype(np.float32)
MEAN = X.mean((1, 2, 3))
SIGN = (X[..., 0] > 0).astype(np.int64)
SEVERAL = (X[:, 0, 0] > 0).astype(np.int32)


def flat(*last: keras.layers.Layer, **compiled: Any) -> keras.Model:
    made = keras.Sequential([keras.Input((4, 4, 2)), layers.Flatten(), *last], name="net")
    if compiled:
        made.compile(**compiled)
    return made


def segmenting(**compiled: Any) -> keras.Model:
    made = keras.Sequential([keras.Input((4, 4, 2)), layers.Conv2D(2, 1, activation="softmax")], name="net")
    if compiled:
        made.compile(**compiled)
    return made


def two_outputs(**compiled: Any) -> keras.Model:
    x = keras.Input((4, 4, 2))
    flat = layers.Flatten()(x)
    made = keras.Model(x, [layers.Dense(3, activation="softmax", name="kind")(flat), layers.Dense(1, name="age")(flat)])
    if compiled:
        made.compile(**compiled)
    return made


SIGMOID = layers.Dense(2, activation="sigmoid")
LOWER, HIGHER = False, True
ERROR = ("mean absolute error", LOWER)
SQUARED = ["mean squared error"]


@pytest.mark.parametrize(
    ("model", "y", "asked", "losses", "measure"),
    [
        (flat(layers.Dense(1), loss="mse", metrics=["mae"]), MEAN, {}, SQUARED, ERROR),
        (flat(layers.Dense(1), loss="huber"), MEAN, {}, ["huber"], ("huber", LOWER)),
        (flat(layers.Dense(1)), MEAN, {"loss": "mse", "score": "R2Score"}, SQUARED, ("R2 score", HIGHER)),
        (flat(layers.Dense(2), loss="mae"), X[:, 0, 0], {}, ["mean absolute error"], ERROR),
        (segmenting(), SIGN, {}, ["sparse categorical crossentropy"], ("sparse categorical accuracy", HIGHER)),
        (segmenting(), np.eye(2)[SIGN], {}, ["categorical crossentropy"], ("categorical accuracy", HIGHER)),
        (segmenting(loss="dice"), np.eye(2)[SIGN], {"score": "mean_iou"}, ["dice"], ("mean IoU", HIGHER)),
        (flat(SIGMOID), SEVERAL, {}, ["binary crossentropy"], ("binary accuracy", HIGHER)),
    ],
)  # fmt: skip
def test_any_model_has_the_loss_and_score_that_it_was_compiled_with_or_is_given(
    model: keras.Model, y: np.ndarray, asked: dict[str, str], losses: list[str], measure: tuple[str, bool]
) -> None:
    task = task_of(model, (y,), aim=Aim(**asked))
    assert (task.loss_names, task.measure, task.classifies) == (losses, Measure(*measure), False)


@pytest.mark.parametrize(
    "model",
    [
        flat(layers.Dense(3)),
        flat(layers.Dense(3), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]),
        flat(layers.Dense(3, activation="softmax"), loss="categorical_crossentropy", metrics=["AUC"]),
        flat(layers.Dense(3, activation="softmax"), loss="mse"),
        flat(layers.Dense(3), loss="mse"),
    ],
)
def test_a_classifier_stays_one_whatever_it_was_compiled_with(model: keras.Model) -> None:
    task = task_of(model, (np.arange(40) % 3,))
    assert task.classifies
    assert task.measure.is_accuracy


def test_what_was_compiled_is_read_from_either_kind_of_file_and_nothing_of_it_is_run(tmp_path: Path) -> None:
    made = two_outputs(
        loss={"kind": "sparse_categorical_crossentropy", "age": keras.losses.Huber()},
        loss_weights={"kind": 1.0, "age": 0.5},
        metrics={"age": ["mae"]},
    )
    for name in ("net.keras", "net.h5"):
        made.save(tmp_path / name)
        loaded = keras.saving.load_model(tmp_path / name, compile=False)
        task = task_of(loaded, (np.arange(40) % 3, MEAN), str(tmp_path / name))
        assert task.told == (
            "trained with sparse categorical crossentropy and huber loss, judged by mean absolute error of age "
            "(lower is better)"
        )
        assert task.weights == (1.0, 0.5)


def own_loss(y: Any, outputs: Any) -> Any:
    raise AssertionError("code of a file was run")


def test_a_loss_of_the_user_s_own_in_a_file_is_named_and_asked_for(tmp_path: Path) -> None:
    flat(layers.Dense(1), loss=own_loss).save(tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras", compile=False)
    with pytest.raises(UserError, match=r"compiled with a loss.*'own_loss'.*give one by --loss"):
        task_of(loaded, (MEAN,), str(tmp_path / "net.keras"))
    assert task_of(loaded, (MEAN,), str(tmp_path / "net.keras"), Aim("mae")).loss_names == ["mean absolute error"]


@pytest.mark.parametrize(
    ("model", "y", "asked", "message"),
    [
        (flat(layers.Dense(1)), MEAN, {}, "compile the model with its loss .* --loss mean_squared_error"),
        (flat(layers.Dense(1)), MEAN, {"loss": "mean_square"}, "unknown loss 'mean_square'; did you mean"),
        (flat(layers.Dense(1)), MEAN, {"loss": "mse", "score": "mea"}, "unknown score 'mea'"),
        (flat(layers.Dense(1)), MEAN, {"loss": "mse", "score": "Sum"}, "isn't known whether higher is better"),
        (flat(layers.Dense(1)), MEAN, {"loss": "absent:f"}, "no module 'absent'"),
        (two_outputs(), (SIGN, MEAN), {"loss": "kind=mse"}, "no loss for its output age"),
        (two_outputs(), (SIGN, MEAN), {"loss": "old=mse"}, "no output 'old'; it has kind, age"),
        (two_outputs(), (SIGN, MEAN), {"loss": "mse", "score": "mae"}, "--score OUTPUT=NAME, with one of kind, age"),
    ],
)
def test_what_cannot_be_known_or_made_is_asked_for(
    model: keras.Model, y: Any, asked: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        task_of(model, y if isinstance(y, tuple) else (y,), aim=Aim(**asked))


@pytest.mark.parametrize(
    ("model", "y", "message"),
    [
        (segmenting(), SIGN + 1, "has labels from 1 to 2; output .* has 2 classes"),
        (segmenting(), SIGN[:, :3], r"has labels of shape \(3, 4\); output"),
        (flat(layers.Dense(1), loss="mse"), np.where(MEAN > 0, np.nan, MEAN), "must be finite numbers"),
        (flat(layers.Dense(3), loss="mse"), MEAN, r"has labels of shape \(\); output 'dense.*' has shape \(3,\)"),
    ],
)
def test_labels_that_do_not_fit_an_output_are_refused(model: keras.Model, y: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        labelled_for(model, (X, y, X, y))


def test_the_score_is_keras_s_own_over_all_batches() -> None:
    model = two_outputs(loss=["sparse_categorical_crossentropy", "mse"], metrics=[["accuracy"], ["mae"]])
    y = (np.arange(40) % 3, MEAN)
    task = task_of(model, y, aim=Aim(score="age=mae"))
    theirs = model.evaluate(X, list(y), verbose=0, return_dict=True)
    score = evaluate(model, X, y, batch_size=16, task=task)
    assert (score.accuracy, score.loss) == (None, pytest.approx(theirs["loss"], rel=1e-5))
    assert score.metric == pytest.approx(next(one for name, one in theirs.items() if name.endswith("mae")), rel=1e-4)


def test_training_lowers_the_loss_of_a_regression() -> None:
    keras.utils.set_random_seed(0)
    model = flat(layers.Dense(1))
    data, task = labelled_for(model, (X, MEAN, X, MEAN), aim=Aim("mse", "mae"))
    before = evaluate(model, data.x_test, data.y_test, task=task)
    train, held_out = (data.x_train, data.y_train), (data.x_validation, data.y_validation)
    fine_tune(model, train, held_out, FineTuning(20, 0.01), seed=0, task=task)
    after = evaluate(model, data.x_test, data.y_test, task=task)
    assert before.metric is not None
    assert after.metric is not None
    assert after.metric < before.metric / 2


def trial(metric: float) -> TrialRecord:
    return TrialRecord(1, "tried", None, 1.0, Cost(1, 1, 1), 1.0, (), metric=metric)


def test_a_drop_of_a_score_is_a_fraction_of_its_value_in_its_direction() -> None:
    error, share = Measure("mean absolute error", LOWER), Measure("mean IoU", HIGHER)
    settings = Settings(max_drop=0.1)
    assert settings.is_good(trial(2.19), trial(2.0), error)
    assert not settings.is_good(trial(2.21), trial(2.0), error)
    assert settings.is_good(trial(0.46), trial(0.5), share)
    assert not settings.is_good(trial(0.44), trial(0.5), share)
    assert settings.is_good(trial(9.0), trial(0.5), error) is False
    assert Settings(max_drop=0.1, metric="loss").is_good(trial(9.0), trial(0.5), error)


def test_a_task_is_told_once_and_recorded_as_plain_values() -> None:
    model = flat(layers.Dense(1), loss="mse", metrics=["mae"])
    with pytest.warns(DataWarning, match="net is trained with mean squared error, judged by mean absolute error"):
        _, task = labelled_for(model, (X, MEAN, X, MEAN))
    assert json.loads(json.dumps(task.measure.as_dict())) == {
        "name": "mean absolute error",
        "is_higher_better": False,
        "is_drop_relative": True,
    }
    assert Task().measure.is_accuracy
