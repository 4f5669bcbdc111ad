"""``rankline deploy`` and ``measure`` from the outside: files of a trained network, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import rankline
from rankline.src.compress.data.sets import load
from rankline.src.compress.deploy import runtime as runtime_file
from rankline.src.compress.model.surgery import factorize
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError
from rankline.src.dse.precision import PRECISIONS
from tests.helpers.digits_net import digits_net, trained_on
from tests.rankline.conftest import Run

pytestmark = pytest.mark.runtimes

FILES = {"litert": "tflite", "onnx": "onnx"}

POINT = 0.01


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that knows digits, with its dense layer by T3F, which is a layer of our own."""
    path = tmp_path_factory.mktemp("trained") / "net.keras"
    model = trained_on(load("digits"))
    factorize(model, {"hidden": Configuration("t3f", (60,), "8x4:16x16")}).save(path)
    return path


@pytest.fixture
def net(run: Run, trained: Path) -> Run:
    """The network as net.keras."""
    shutil.copy(trained, "net.keras")
    return run


@pytest.fixture
def tiny(run: Run) -> Run:
    """A network with random weights as net.keras."""
    keras.utils.set_random_seed(0)
    digits_net().save("net.keras")
    return run


@pytest.mark.parametrize("to", FILES)
def test_a_network_is_worth_the_same_in_every_file(net: Run, to: str) -> None:
    """In floats its outputs are Keras's to 1e-4; in integers it keeps its accuracy within a point."""
    found: dict[str, Any] = {}
    for precision in PRECISIONS:
        given = (
            "deploy",
            "net.keras",
            "--precision",
            precision,
            "--calibrate",
            "digits",
            "--out",
            f"small.{FILES[to]}",
        )
        code, out, err = net(*given, "--json")
        assert code == 0, err
        assert "Traceback" not in err
        found[precision] = one = json.loads(out)
        assert (one["runtime"], one["precision"], one["samples"]) == (to, precision, 360)
        assert one["keras_score"] > 0.95
        assert abs(one["score"] - one["keras_score"]) <= POINT
        assert one["bytes"] == Path(f"small.{FILES[to]}").stat().st_size
        assert 0 < one["latency_ps"] <= one["median_ps"]
    assert found["f32"]["difference"] < 1e-4
    assert found["f32"]["score"] == found["f32"]["keras_score"]
    assert found["int8"]["bytes"] < 0.6 * found["f32"]["bytes"]
    assert found["int8"]["settings"]["calibration"] == {"data": "digits", "samples": 1024, "is_fitted": True}
    assert len({one["model"] for one in found.values()}) == 1
    code, out, _ = net("measure", f"small.{FILES[to]}", "--data", "digits", "--json")
    again = json.loads(out)
    assert code == 0
    last = found["int8-weights"]
    assert [again[key] for key in ("digest", "model", "precision", "score")] == [
        last[key] for key in ("digest", "model", "precision", "score")
    ]


def test_a_measurement_is_told_and_on_record(net: Run) -> None:
    code, out, err = net("deploy", "net.keras", "--data", "digits", "--out", "small.tflite", "--test-samples", "100")
    assert (code, "wrote small.tflite; the measurement is in rankline.db" in err) == (0, True)
    assert "accuracy on 100 samples of digits" in out
    assert "of the Keras model" in out
    code, out, _ = net("measure", "small.tflite")
    assert code == 0
    assert "– (give --data)" in out
    code, out, _ = net("measure", "--history")
    assert code == 0
    assert "2 measurements" in out
    rows = list(csv.DictReader(io.StringIO(net("measure", "small.tflite", "--history", "--csv")[1])))
    assert [row["precision"] for row in rows] == ["f32", "f32"]
    with rankline.open("rankline.db").engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM measurement WHERE model IS NOT NULL").scalar() == 2
    assert net("db", "check")[0] == 0


def test_python_has_the_same(net: Run) -> None:
    data = load("digits")
    keras_model = keras.saving.load_model("net.keras")
    found = rankline.deploy(keras_model, "small.onnx", precision="int8", calibrate=data.x_train[:64], db=None)
    assert (found.score, found.precision, found.settings["calibration"]["samples"]) == (None, "int8", 64)
    scored = rankline.measure("small.onnx", (data.x_train, data.y_train, data.x_test, data.y_test), db="some.db")
    assert scored.score is not None
    assert scored.score > 0.9
    assert rankline.open("some.db").measurements() == [scored]


def test_models_with_several_inputs_and_outputs_are_judged_by_a_score(run: Run) -> None:
    keras.utils.set_random_seed(0)
    inputs = [keras.Input((6,), name="left"), keras.Input((4,), name="right")]
    both = keras.layers.Concatenate()(inputs)
    model = keras.Model(
        inputs, [keras.layers.Dense(2, name="a")(both), keras.layers.Dense(1, name="b")(both)], name="two"
    )
    random = np.random.default_rng(0)
    x = [random.standard_normal((40, size)).astype("float32") for size in (6, 4)]
    y = [random.standard_normal((40, size)).astype("float32") for size in (2, 1)]
    data = (x, y, x, y)
    for file in ("small.tflite", "small.onnx"):
        asked = {"loss": "mean_squared_error", "score": "b=mean_absolute_error"}
        found = rankline.deploy(model, file, precision="int8", calibrate=x, data=data, db=None, **asked)
        assert found.score_name == "mean absolute error of b"
        assert found.score == pytest.approx(found.keras_score, rel=0.02)
        alone = rankline.measure(file, data, db=None, score="output_1=mean_absolute_error")
        assert alone.score == pytest.approx(found.score, rel=1e-5)
        with pytest.raises(UserError, match=r"which with these labels are no classes; tell what it is judged by"):
            rankline.measure(file, data, db=None)


def test_a_file_for_a_batch_of_any_size_is_run_with_one_sample(tiny: Run) -> None:
    given = keras.Input((8, 8, 1))
    model = keras.Model(given, digits_net()(given))
    model(np.zeros((1, 8, 8, 1), "float32"))
    model.export("any.onnx", format="onnx", verbose=False)
    code, out, err = tiny("measure", "any.onnx", "--data", "digits", "--json")
    assert code == 0, err
    assert json.loads(out)["batch"] == 1
    anything = keras.Input((None, 3), name="words")
    model = keras.Model(anything, keras.layers.Dense(2)(anything))
    model(np.zeros((1, 2, 3), "float32"))
    model.export("sizes.onnx", format="onnx", verbose=False)
    code, out, err = tiny("measure", "sizes.onnx")
    assert (code, out) == (2, "")
    assert "whose sizes are not fixed; export it with fixed ones" in err


def shapes() -> None:
    random = np.random.default_rng(0)
    np.save("wide.npy", random.random((40, 9, 9, 1)))
    np.save("pictures.npy", 255 * random.random((40, 8, 8, 1)))
    np.save("none.npy", np.zeros((0, 8, 8, 1)))
    Path("notes.txt").write_text("nothing of the kind")
    Path("broken.onnx").write_text("nothing of the kind")
    trained = digits_net()
    norm = trained.get_layer("norm")
    norm.set_weights([*norm.get_weights()[:3], np.full(16, 1e-4)])
    trained.save("trained.keras")
    open_sizes = keras.Input((None, None, 1))
    keras.Model(open_sizes, keras.layers.GlobalAveragePooling2D()(open_sizes)).save("sizes.keras")


INT8 = ("deploy", "net.keras", "--precision", "int8", "--out", "small.tflite")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (INT8, "--precision int8 takes the ranges of maps from samples; give --calibrate DATA"),
        ((*INT8, "--calibrate", "wide.npy"), "of shape (9, 9, 1); model 'tiny' takes (8, 8, 1)"),
        ((*INT8, "--calibrate", "none.npy"), "none.npy has no calibration samples"),
        ((*INT8, "--calibrate", "pictures.npy", "--data", "digits"), "the calibration data ranges from 0."),
        ((*INT8[:1], "trained.keras", *INT8[2:], "--calibrate", "pictures.npy"), "scaled otherwise than what model"),
        ((*INT8, "--calibrate", "digits", "--to", "onnx"), "a model is written as a .onnx file; got 'small.tflite'"),
        ((*INT8[:3], "int7", *INT8[4:]), "unknown precision 'int7'; did you mean 'int8'?"),
        (("deploy", "net.keras", "--out", "small.keras"), "written as a .tflite or .onnx file; got 'small.keras'"),
        (("deploy", "net.keras", "--to", "keras", "--out", "a.keras"), "unknown runtime to write for 'keras'"),
        (("deploy", "net.keras", "--out", "nowhere/small.onnx"), "the folder nowhere does not exist"),
        (("deploy", "none.keras", "--out", "small.onnx"), "none.keras"),
        (("deploy", "sizes.keras", "--out", "small.onnx"), "whose size is not fixed"),
        (("deploy", "net.keras", "--data", "pictures.npy", "--out", "small.onnx"), "lacks"),
        (("measure",), "give the FILE to measure"),
        (
            ("measure", "notes.txt"),
            "'notes.txt' is no file that a runtime here runs; give a .tflite, .onnx, .keras file",
        ),
        (("measure", "none.onnx"), "there is no such file"),
        (("measure", "broken.onnx"), "ONNX Runtime can't run 'broken.onnx'"),
    ],
)
def test_mistakes_are_answered_in_one_line_and_leave_nothing(
    tiny: Run, arguments: tuple[str, ...], message: str
) -> None:
    shapes()
    there = {path.name for path in Path.cwd().iterdir()}
    code, out, err = tiny(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert {path.name for path in Path.cwd().iterdir()} - there <= {"rankline.db"}


def test_a_runtime_that_is_not_installed_is_told_with_its_extra(tiny: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_file, "find_spec", lambda name: None)
    for given in (("deploy", "net.keras", "--out", "small.onnx"), (*INT8, "--calibrate", "digits")):
        code, out, err = tiny(*given)
        assert (code, out) == (2, "")
        assert "is not installed; run: pip install 'rankline[deploy]'" in err


def test_an_operation_that_a_runtime_lacks_is_told_and_the_old_file_is_kept(run: Run) -> None:
    given = keras.Input((4,))
    keras.Model(given, keras.ops.erfinv(given), name="odd").save("odd.keras")
    Path("small.tflite").write_text("as it was")
    code, out, err = run("deploy", "odd.keras", "--out", "small.tflite")
    assert (code, out) == (2, "")
    assert "LiteRT has no operation 'Erfinv'" in err
    assert Path("small.tflite").read_text() == "as it was"


def test_data_that_does_not_fit_a_file_is_refused(tiny: Run) -> None:
    assert tiny("deploy", "net.keras", "--out", "small.tflite")[0] == 0
    wide = np.zeros((200, 9, 9, 1), "float32")
    labels = np.arange(200) % 10
    np.savez("wide.npz", x_train=wide, y_train=labels, x_test=wide, y_test=labels)
    code, out, err = tiny("measure", "small.tflite", "--data", "wide.npz")
    assert (code, out) == (2, "")
    assert "data 'wide.npz' has samples of shape (9, 9, 1); small.tflite takes (8, 8, 1)" in err
