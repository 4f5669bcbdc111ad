"""Data at the door: what is taken, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from compress.data import Scaling, data_from, fitting, load
from dse.errors import UserError


def arrays(n: int = 40, shape: tuple[int, ...] = (8, 8, 1), classes: int = 4) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.integers(0, 255, (2 * n, *shape)).astype(np.uint8)
    y = np.arange(2 * n) % classes
    return {"x_train": x[:n], "y_train": y[:n], "x_test": x[n:], "y_test": y[n:]}


def model(shape: tuple[int, ...] = (8, 8, 1), classes: int = 4) -> keras.Model:
    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes)])


def test_digits_are_split_in_three_parts_without_overlap() -> None:
    data = load("digits", seed=3)
    parts = [data.x_train, data.x_validation, data.x_test]
    assert sum(map(len, parts)) == 1797
    assert data.x_train.shape[1:] == (8, 8, 1)
    assert {tuple(np.unique(y)) for y in (data.y_train, data.y_validation, data.y_test)} == {tuple(range(10))}
    assert np.array_equal(load("digits", seed=3).x_test, data.x_test)
    assert not np.array_equal(load("digits", seed=4).x_test, data.x_test)


def test_a_file_is_scaled_as_asked(tmp_path: Path) -> None:
    given = arrays(shape=(4, 4, 2))
    np.savez(tmp_path / "own.npz", **given)
    data = load(str(tmp_path / "own.npz"), Scaling(1 / 255, (0.5, 0.4), (0.2, 0.3)))
    wanted = (given["x_test"] / 255 - np.array([0.5, 0.4])) / np.array([0.2, 0.3])
    assert np.allclose(data.x_test, wanted, atol=1e-5)
    assert data.x_test.dtype == np.float32


def test_a_missing_channel_axis_and_one_hot_labels_are_understood() -> None:
    given = arrays(shape=(8, 8))
    given["y_train"] = np.eye(4)[given["y_train"]]
    data = fitting(data_from(tuple(given.values())), model())
    assert data.x_train.shape[1:] == (8, 8, 1)
    assert data.y_train.dtype == np.int64


def changed(**values: object) -> tuple[np.ndarray, ...]:
    return tuple({**arrays(), **values}.values())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (changed(y_train=np.zeros(3, int)), "x_train has 40 samples and y_train 3 labels"),
        (changed(x_test=np.zeros((40, 9, 8, 1))), "x_test of"),
        (changed(y_test=np.full(40, 0.5)), "whole numbers"),
        (changed(y_test=np.full(40, -1)), "whole numbers"),
        (changed(x_train=np.full((40, 8, 8, 1), np.nan)), "finite"),
        ((np.zeros(3),), "must be 4 arrays"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(given: tuple[np.ndarray, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        data_from(given)


def test_data_that_does_not_fit_the_model_is_refused() -> None:
    data = data_from(tuple(arrays().values()))
    with pytest.raises(UserError, match=r"samples of shape \(8, 8, 1\); model .* takes \(9, 9, 1\)"):
        fitting(data, model((9, 9, 1)))
    with pytest.raises(UserError, match="labels up to 3"):
        fitting(data, model(classes=3))


def test_unknown_or_broken_sources_are_refused(tmp_path: Path) -> None:
    (tmp_path / "words.npz").write_text("no arrays here")
    np.savez(tmp_path / "part.npz", x_train=np.zeros(3))
    np.savez(tmp_path / "code.npz", **{**arrays(), "y_test": np.array([object()], dtype=object)})
    with pytest.raises(UserError, match="did you mean 'digits'"):
        load("digit")
    with pytest.raises(UserError, match="there is no file"):
        load(str(tmp_path / "absent.npz"))
    with pytest.raises(UserError, match="not an .npz file"):
        load(str(tmp_path / "words.npz"))
    with pytest.raises(UserError, match="lacks y_train, x_test, y_test"):
        load(str(tmp_path / "part.npz"))
    with pytest.raises(UserError, match="not an .npz file of plain arrays"):
        load(str(tmp_path / "code.npz"))
    with pytest.raises(UserError, match="cannot take data from"):
        load("no_such_module:function")


def test_importing_data_does_not_load_keras() -> None:
    script = "import sys, compress.data; assert 'keras' not in sys.modules and 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
