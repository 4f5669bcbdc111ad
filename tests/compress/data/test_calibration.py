"""Nothing that needs no labels asks for them."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from rankline.src.compress.data.calibration import calibration_of, training_inputs
from rankline.src.compress.data.sets import DataWarning
from rankline.src.compress.training.settings import Aim
from rankline.src.dse.errors import UserError

layers = keras.layers
X = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
CLASSES = np.arange(40) % 3


def model() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), layers.Dense(3)], name="net")


def two_inputs() -> keras.Model:
    a, b = keras.Input((4,), name="a"), keras.Input((2,), name="b")
    return keras.Model({"a": a, "b": b}, layers.Dense(3)(layers.Concatenate()([a, b])), name="two")


@pytest.mark.parametrize(
    "y",
    [X.mean(1), X, np.round(100 + 50 * X[:, 0]), CLASSES - 1, np.full(40, 2**64 - 1, np.uint64), np.full(40, np.nan)],
)
def test_labels_that_are_of_no_use_are_left_out_with_one_note(tmp_path: Path, y: np.ndarray) -> None:
    np.savez(tmp_path / "d.npz", x_train=X, y_train=y, x_test=X[:9], y_test=y[:9])
    with pytest.warns(DataWarning, match=r"d.npz: its labels are not used \(") as told:
        found = calibration_of(model(), str(tmp_path / "d.npz"), 16)
    assert len(told) == 1
    assert (found.data, found.samples[0].shape) == (None, (16, 4))


def test_labels_that_fit_tell_the_accuracy() -> None:
    found = calibration_of(model(), (X, CLASSES, X, CLASSES), 16)
    assert found.data is not None
    assert found.task.classifies


def test_labels_that_are_asked_to_be_judged_must_fit() -> None:
    with pytest.raises(UserError, match=r"has labels of shape \(\); output"):
        calibration_of(model(), (X, X.mean(1), X, X.mean(1)), 16, aim=Aim("mse", "mae"))
    with pytest.raises(UserError, match="--loss and --score need labels"):
        calibration_of(model(), X, 16, aim=Aim(score="mae"))


@pytest.mark.parametrize(
    "given",
    [
        {"a": X, "b": X[:, :2]},
        [X, X[:, :2]],
        (X, X[:, :2]),
        {"x_train_a": X, "x_train_b": X[:, :2], "x_test_a": X, "x_test_b": X[:, :2]},
        tf.data.Dataset.from_tensor_slices({"a": X, "b": X[:, :2]}).batch(8),
        (({"a": X, "b": X[:, :2]}, CLASSES), ({"a": X, "b": X[:, :2]}, CLASSES)),
    ],
)
def test_several_inputs_are_taken_however_they_are_given(given: object) -> None:
    found = calibration_of(two_inputs(), given, 16)
    assert [one.shape for one in found.samples] == [(16, 4), (16, 2)]


def test_a_file_may_name_its_arrays_as_the_inputs(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", b=X[:, :2], a=X)
    assert [one.shape for one in training_inputs(two_inputs(), str(tmp_path / "d.npz"))] == [(40, 4), (40, 2)]
    np.savez(tmp_path / "d.npz", a=X)
    with pytest.raises(UserError, match="an array for each of the model's 2 inputs"):
        training_inputs(two_inputs(), str(tmp_path / "d.npz"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (X[:, :3], r"samples of shape \(3,\)|are of shape \(3,\)"),
        (X[:0], "no calibration samples"),
        (np.where(X > 2, np.nan, X), "finite"),
        (X.astype(complex), "complex numbers"),
        (X.astype(np.float64) * 1e300, "finite"),
        ([], "no calibration data"),
    ],
)
def test_inputs_that_are_at_fault_are_refused(given: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        calibration_of(model(), given, 16)


def test_whole_numbers_stay_exact() -> None:
    words = keras.Sequential([keras.Input((2,), dtype="int32"), layers.Embedding(3, 4), layers.Dense(3)])
    ids = np.array([[2**24 + 1, 1]] * 4)
    found = training_inputs(words, ids)
    assert np.array_equal(found[0], ids)
