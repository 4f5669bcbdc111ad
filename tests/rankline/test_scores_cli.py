"""The options of data, and a model that is no classifier, from the command line to the report."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from rankline.cli.scaling import scaling_of
from rankline.src.dse.errors import UserError
from tests.rankline.conftest import Run

BYTES = np.array([[0.0], [127.5], [255.0]])


@pytest.mark.parametrize(
    ("rescale", "mean", "std", "values"),
    [
        ("1/255", "0", "1", [0, 0.5, 1]),
        ("1/127.5", "1", "1", [-1, 0, 1]),
        ("1/127.5-1", "0", "1", [-1, 0, 1]),
        ("-1:1", "0", "1", [-1, 0, 1]),
        ("0:1", "0", "1", [0, 0.5, 1]),
        ("0:1", "127.5/255", "0.5", [-1, 0, 1]),
        ("-0.5:0.5", "0", "1", [-0.5, 0, 0.5]),
        ("2+1", "0", "1", [1, 256, 511]),
        ("0.5", "0", "1/2", [0, 127.5, 255]),
    ],
)
def test_a_scaling_is_written_as_people_write_it(rescale: str, mean: str, std: str, values: list[float]) -> None:
    assert np.allclose(scaling_of(rescale, mean, std).apply(BYTES)[:, 0], values, atol=1e-5)


@pytest.mark.parametrize("rescale", ["1:0", "1/0", "a", "1,2", "1:2:3", "", "1-", "0"])
def test_another_scaling_is_refused_with_what_is_possible(rescale: str) -> None:
    with pytest.raises(UserError, match=r"--rescale takes (one number, such as 1/255.*-1:1|finite numbers other)"):
        scaling_of(rescale, "0", "1")


@pytest.fixture
def regression(tmp_path: Path) -> Path:
    """A file of a small model that was compiled as a regression, and its data with a name that people use."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inner = layers.Conv2D(12, 3, activation="relu")
    made = keras.Sequential([keras.Input((8, 8, 2)), inner, layers.Flatten(), layers.Dense(1)], name="light")
    made.compile(keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"])
    x = np.random.default_rng(0).standard_normal((200, 8, 8, 2)).astype(np.float32)
    y = x.mean((1, 2, 3))
    made.fit(x, y, epochs=15, verbose=0)
    made.save(tmp_path / "light.keras")
    np.savez(
        tmp_path / "d.npz", x_train=x[:120], y_train=y[:120], x_val=x[120:160], y_val=y[120:160], x_test=x[160:],
        y_test=y[160:], ids=np.arange(200),
    )  # fmt: skip
    return tmp_path


def test_a_regression_is_compressed_judged_and_reported_by_its_own_score(run: Run, regression: Path) -> None:
    compress = (
        "compress",
        "light.keras",
        "--data",
        "d.npz",
        "--max-trials",
        "1",
        "--epochs",
        "1",
        "--max-drop",
        "99",
    )
    code, out, err = run(*compress, "--out", "small.keras")
    assert code == 0, err
    assert "mean absolute error, validation" in out
    assert "accuracy" not in out + err
    assert "note: light is trained with mean squared error, judged by mean absolute error (lower is better)" in err
    assert "note: d.npz: x_val, y_val taken as the validation part" in err
    assert "note: d.npz: ids ignored" in err
    assert "validation mean absolute error" in Path("small.md").read_text(encoding="utf-8")
    assert "accuracy" not in Path("small.md").read_text(encoding="utf-8")

    code, out, err = run("runs", "show", "1", "--csv")
    assert out.splitlines()[0].startswith("trial,status,made by,validation mean absolute error,loss")
    code, out, err = run("runs", "--csv")
    assert "mean absolute error 0." in out
    run("runs", "export", "1", "run.json")
    recorded = json.loads(Path("run.json").read_text(encoding="utf-8"))
    assert recorded["accuracy"] is None
    assert recorded["settings"]["score"].keys() == {
        "name", "is_higher_better", "is_drop_relative", "test", "original_test",
    }  # fmt: skip
    assert all(trial["accuracy"] is None and trial["metric"] > 0 for trial in recorded["trials"])

    code, out, err = run("report", "report.html")
    assert code == 0, err
    page = Path("report.html").read_text(encoding="utf-8")
    assert "validation mean absolute error" in page
    assert "Mean absolute error, validation" in page

    code, out, err = run("budget", "light.keras", "--calibrate", "d.npz", "--keep-flops", "0.6", "--out", "half.keras")
    assert code == 0, err
    assert "test mean absolute error 0." in out
    assert "no accuracy is known" not in err
    code, out, err = run("runs", "compare", "1", "2", "--csv")
    assert "validation mean absolute error" in out


def test_a_run_of_a_score_is_resumed_with_the_options_it_was_asked_with(run: Run, regression: Path) -> None:
    code, out, err = run(
        "compress", "light.keras", "--data", "d.npz", "--max-trials", "1", "--epochs", "0", "--max-drop", "0.001",
        "--loss", "huber", "--score", "R2Score", "--out", "small.keras", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["score"] == {
        "name": "R2 score", "is_higher_better": True, "is_drop_relative": True,
    }  # fmt: skip
    code, out, err = run("compress", "--resume", "1", "--max-trials", "2", "--json")
    assert code == 0, err
    assert json.loads(out)["trials"] == 2


def test_a_loss_that_is_needed_is_asked_for(run: Run, regression: Path) -> None:
    loaded = keras.saving.load_model("light.keras", compile=False)
    loaded.save("plain.keras")
    asked = ("--data", "d.npz", "--max-trials", "1", "--epochs", "0", "--out", "small.keras")
    code, _, err = run("compress", "plain.keras", *asked)
    assert code == 2
    assert "--loss mean_squared_error" in err.splitlines()[-1]
    code, _, err = run("compress", "plain.keras", *asked, "--loss", "mean_squared_eror")
    assert (code, "did you mean 'mean_squared_error'?" in err) == (2, True)
    code, _, err = run("budget", "plain.keras", "--calibrate", "d.npz", "--keep-flops", "0.6", "--out", "half.keras")
    assert code == 0, err
    assert "note: d.npz: its labels are not used (" in err
