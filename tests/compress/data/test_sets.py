"""Data at the door: what is taken, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from rankline.src.compress.data.classifier import fitting
from rankline.src.compress.data.scaling import Scaling
from rankline.src.compress.data.sets import Data, data_from, load
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.training.settings import FineTuning
from rankline.src.dse.errors import UserError
from tests.helpers.compression import compress


def arrays(n: int = 40, shape: tuple[int, ...] = (8, 8, 1), classes: int = 4) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.integers(0, 255, (2 * n, *shape)).astype(np.uint8)
    y = np.arange(2 * n) % classes
    return {"x_train": x[:n], "y_train": y[:n], "x_test": x[n:], "y_test": y[n:]}


def model(shape: tuple[int, ...] = (8, 8, 1), classes: int = 4) -> keras.Model:
    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes)])


def test_digits_are_split_in_three_parts_without_overlap() -> None:
    data = load("digits", split_seed=3)
    parts = [data.x_train, data.x_validation, data.x_test]
    assert sum(map(len, parts)) == 1797
    assert data.x_train.shape[1:] == (8, 8, 1)
    assert {tuple(np.unique(y)) for y in (data.y_train, data.y_validation, data.y_test)} == {tuple(range(10))}


def test_the_test_part_is_the_same_whatever_the_seed_and_the_validation_part_has_a_seed_of_its_own() -> None:
    one, other = load("digits", split_seed=3), load("digits", split_seed=4)
    assert np.array_equal(one.x_test, other.x_test)
    assert not np.array_equal(one.x_validation, other.x_validation)
    assert np.array_equal(one.x_validation, load("digits", split_seed=3).x_validation)
    assert one.preparation["split_seed"] == 3


def test_a_validation_part_of_the_users_own_is_taken_as_it_is(tmp_path: Path) -> None:
    given = arrays()
    own = {"x_validation": given["x_test"][:8], "y_validation": given["y_test"][:8]}
    np.savez(tmp_path / "own.npz", **given, **own)
    from_file = load(str(tmp_path / "own.npz"))
    x_train, y_train, x_test, y_test = given.values()
    from_arrays = data_from((x_train, y_train, *own.values(), x_test, y_test))
    for data in (from_file, from_arrays):
        assert np.array_equal(data.x_validation, own["x_validation"])
        assert np.array_equal(data.x_train, given["x_train"])
    np.savez(tmp_path / "half.npz", **given, x_validation=own["x_validation"])
    with pytest.raises(UserError, match=r"half.npz lacks y_validation; it holds x_train"):
        load(str(tmp_path / "half.npz"))


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
        (changed(y_train=np.zeros(3, int)), r"x_train has shape \(40, 8, 8, 1\) and y_train \(3,\)"),
        (changed(x_test=np.zeros((40, 9, 8, 1))), r"several shapes: \(8, 8, 1\), \(9, 8, 1\)"),
        (changed(y_test=np.full(40, 0.5)), "whole numbers"),
        (changed(y_test=np.full(40, -1)), "whole numbers"),
        (changed(x_train=np.full((40, 8, 8, 1), np.nan)), "finite"),
        ((np.zeros(3),), "must be 4 arrays"),
        (changed(y_train=np.full(40, np.inf)), "whole numbers"),
        (changed(y_train=np.random.default_rng(0).random((40, 4))), "whole numbers"),
        (changed(y_train=np.ones((40, 4))), "a single 1 in each row"),
        (changed(y_train=[[0], [1, 2]]), "not an array"),
        (tuple(part[:1] for part in arrays().values()), "15% of 1 training samples are too few"),
        (tuple(part[:20] for part in arrays().values()), "15% of 20 training samples are too few to validate 4"),
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
    with pytest.raises(UserError, match="no module 'no_such_module' in .*; data may be digits"):
        load("no_such_module:function")


def test_a_cut_off_file_and_a_lone_array_are_refused(tmp_path: Path) -> None:
    whole, cut, lone = (tmp_path / f"{name}.npz" for name in ("whole", "cut", "lone"))
    np.savez_compressed(whole, **arrays())
    content = bytearray(whole.read_bytes())
    cut.write_bytes(content[: len(content) // 2])
    np.save(tmp_path / "lone.npy", np.zeros(3))
    (tmp_path / "lone.npy").rename(lone)
    content[200:220] = bytes(20)
    whole.write_bytes(content)
    for path in (whole, cut, lone):
        with pytest.raises(UserError, match="not an .npz file"):
            load(str(path))


def test_an_error_of_a_file_is_told_once(tmp_path: Path) -> None:
    np.savez(tmp_path / "part.npz", x_train=np.zeros(3))
    with pytest.raises(UserError) as raised:
        load(str(tmp_path / "part.npz"))
    assert "not an .npz file" not in str(raised.value)


def test_a_users_function_is_found_in_the_current_folder_and_must_return_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # and taken off the path again
    Path("own_arrays.py").write_text(
        "import numpy as np\n"
        "def some():\n    return np.zeros((40, 2)), np.arange(40) % 2, np.zeros((4, 2)), np.arange(4) % 2\n"
        "def none(): pass\n"
    )
    assert load("own_arrays:some").x_test.shape == (4, 2)
    with pytest.raises(UserError, match=r"none\(\) must return the arrays x_train, .*; it returned NoneType"):
        load("own_arrays:none")
    with pytest.raises(UserError, match="unknown function in own_arrays 'sme'; did you mean 'some'"):
        load("own_arrays:sme")


@pytest.mark.parametrize(
    "bad", [{"rescale": 0}, {"rescale": float("nan")}, {"std": (1.0, 0.0)}, {"mean": (float("inf"),)}]
)
def test_a_scaling_that_loses_the_data_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(UserError, match="finite numbers"):
        Scaling(**bad)  # type: ignore[arg-type]


def test_importing_data_does_not_load_keras() -> None:
    script = "import sys, rankline.src.compress.data.sets\n"
    script += "assert 'keras' not in sys.modules and 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def parts(one_hot: bool = False) -> list[tuple[np.ndarray, np.ndarray]]:
    given = arrays(30)
    labels = {name: np.eye(4)[given[name]] if one_hot else given[name] for name in ("y_train", "y_test")}
    return [(given["x_train"], labels["y_train"]), (given["x_test"], labels["y_test"])]


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("batch", [None, 8])
def test_tf_data_sets_are_read_as_their_arrays_would_be(one_hot: bool, batch: int | None) -> None:
    sets = [tf.data.Dataset.from_tensor_slices(pair) for pair in parts(one_hot)]
    if batch:
        sets = [one.batch(batch) for one in sets]
    found, wanted = data_from(sets), data_from([array for pair in parts() for array in pair])
    for name in ("x_train", "y_train", "x_validation", "y_validation", "x_test", "y_test"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name))
    assert found.preparation == wanted.preparation


def test_a_tf_data_set_to_validate_on_is_taken_as_it_is() -> None:
    train, test = (tf.data.Dataset.from_tensor_slices(pair).batch(8) for pair in parts())
    found = data_from((train, test.take(1), test.skip(1)))
    assert [len(x) for x in (found.x_train, found.x_validation, found.x_test)] == [30, 8, 22]


def test_a_model_is_compressed_with_tf_data(trained: keras.Model, few: Data) -> None:
    pairs = (few.x_train, few.y_train), (few.x_validation, few.y_validation), (few.x_test, few.y_test)
    sets = [tf.data.Dataset.from_tensor_slices(pair).batch(50) for pair in pairs]
    settings = Settings(fine_tuning=FineTuning(epochs=0), samples=20, max_trials=1)
    streamed, plain = (compress(trained, data, "sqlite://", settings=settings) for data in (sets, few))
    assert [trial.loss for trial in streamed.trials] == [trial.loss for trial in plain.trials]
    assert streamed.delivered.test == plain.delivered.test


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda train, test: [train], "takes 2 sets .* or 3 .*; got 1"),
        (lambda train, test: [train.repeat(), test], r"the train set has no end; .*take\(\)"),
        (lambda train, test: [train, test.take(0)], "the test set is empty"),
        (lambda train, test: [train.map(lambda x, y: (x, y, y)), test], r"must give \(x, y\).*gives 3 things"),
        (lambda train, test: [train.map(lambda x, y: {"x": x}), test], r"must give \(x, y\).*gives dict"),
    ],
)
def test_tf_data_that_cannot_be_read_is_refused(change: Callable[..., list[object]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        data_from(change(*(tf.data.Dataset.from_tensor_slices(pair).batch(8) for pair in parts())))
