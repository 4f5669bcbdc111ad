"""``rankline budget`` at a precision: what it writes, tells and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from rankline.src.compress.deploy import runtimes
from rankline.src.db.database import open_database
from tests.helpers.digits_net import digits_net
from tests.rankline.conftest import Run

pytestmark = pytest.mark.runtimes

BUDGET = ("budget", "tiny.keras", "--methods", "svd,spatial_svd", "--out", "small.keras", "--samples", "200")


@pytest.fixture
def tiny(run: Run) -> Run:
    """A network with random weights, and inputs for it."""
    keras.utils.set_random_seed(0)
    model = digits_net()
    model.save("tiny.keras")
    np.save("x.npy", np.random.default_rng(0).integers(0, 17, (200, *model.input_shape[1:])).astype("float32"))
    return run


@pytest.mark.parametrize(("precision", "to"), [("int8", "litert"), ("int8-weights", "onnx")])
def test_the_file_lies_beside_the_model_is_measured_and_on_record(tiny: Run, precision: str, to: str) -> None:
    code, out, err = tiny(
        *BUDGET, "--calibrate", "digits", "--keep-flops", "0.6", "--precision", precision, "--to", to, "--json"
    )
    assert code == 0, err
    (point,) = json.loads(out)["points"]
    found = point["deployed"]
    path = Path("small").with_suffix(runtimes.get(to).suffix)
    assert (found["file"], found["precision"], found["runtime"]) == (path.name, precision, to)
    assert found["bytes"] == path.stat().st_size
    assert 0 <= found["score"] <= 1
    assert path.name in Path("small.md").read_text(encoding="utf-8")
    stored = open_database("rankline.db").measurements()
    assert [one.digest for one in stored] == [found["digest"]]


def test_a_share_of_the_bytes_is_kept_and_told(tiny: Run) -> None:
    code, _, err = tiny(*BUDGET, "--calibrate", "x.npy", "--keep-bytes", "0.3", "--precision", "int8")
    assert code == 0, err
    runtimes.get("litert").export(keras.saving.load_model("tiny.keras"), Path("whole.tflite"))
    assert Path("small.tflite").stat().st_size <= 0.3 * Path("whole.tflite").stat().st_size
    assert "small.tflite (litert" in err
    assert "bytes" in err


def test_bytes_alone_mean_a_file_in_floats(tiny: Run) -> None:
    code, out, err = tiny(*BUDGET, "--calibrate", "x.npy", "--keep-bytes", "0.7", "--json")
    assert code == 0, err
    assert json.loads(out)["points"][0]["deployed"]["precision"] == "f32"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--keep-flops", "0.5", "--precision", "int4"), "int4"),
        (("--keep-flops", "0.5", "--precision", "int8", "--to", "tensorrt"), "tensorrt"),
        (("--keep-flops", "0.5", "--to", "onnx"), "give its precision too"),
        (("--keep-bytes", "10"), "below what is possible"),
        (("--keep-bytes", "1.5"), "--keep-bytes"),
    ],
)
def test_what_can_not_be_is_refused_in_a_line_and_leaves_nothing(tiny: Run, more: tuple[str, ...], told: str) -> None:
    code, out, err = tiny(*BUDGET, "--calibrate", "x.npy", *more)
    assert (code, out) == (2, ""), err
    assert told in err.splitlines()[-1]
    assert not Path("small.keras").exists()
    assert not Path("small.tflite").exists()
