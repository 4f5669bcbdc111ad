"""``rankline study precision`` from the outside, and ``rankline study`` without a name, which is that of the zoo."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.helpers.digits_net import digits_net
from tests.rankline.conftest import Run

pytestmark = pytest.mark.runtimes

PRECISION = ("study", "precision", "net.keras", "--data", "digits", "--out", "out")

SMALL = ("--runtime", "onnx", "--precisions", "f32,f16", "--methods", "svd", "--keep", "0.5", "--test-samples", "40")


@pytest.fixture
def tiny(run: Run) -> Run:
    """A network with random weights as net.keras."""
    keras.utils.set_random_seed(0)
    digits_net().save("net.keras")
    return run


def test_a_study_writes_its_files_and_sums_up(tiny: Run) -> None:
    code, out, told = tiny(*PRECISION, *SMALL, "--json", "--samples", "64")
    assert code == 0, told
    found = json.loads(out)
    assert (found["network"], found["samples"], found["independence"]["count"]) == ("tiny", 40, 1)
    assert [(one["method"], one["precision"]) for one in found["pairs"]] == [
        ("original", "f32"), ("original", "f16"), ("svd", "f32"), ("svd", "f16"),
    ]  # fmt: skip
    assert (found["baselines"], found["remedies"]) == ([], [])
    assert sorted(path.name for path in Path("out").iterdir()) == ["pairs.csv", "pairs.tex", "precision.html"]
    assert all(Path(name).exists() for name in found["files"])


def test_people_get_the_tables_and_the_summary_last(tiny: Run) -> None:
    code, out, told = tiny(*PRECISION, *SMALL, "--samples", "64")
    assert code == 0, told
    assert "Factorization and rounding, alone and together" in out
    assert "look at out/precision.html" in told
    assert told.splitlines()[-1].startswith("1 pair: both deviate from the sum by ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--precisions", "f32,int7"), "unknown precision 'int7'; did you mean 'int8'?"),
        (("--methods", "tuker"), "unknown method 'tuker'; did you mean 'tucker'?"),
        (("--keep", "0.5,2"), "keep takes shares above 0 and below 1"),
        (("--runtime", "keras"), "unknown runtime 'keras'"),
        (("--data", "inputs.npy"), "lacks"),
        (("--out", "net.keras"), "what is made is written into a folder; net.keras is a file"),
    ],
)
def test_mistakes_are_answered_in_one_line_and_leave_nothing(
    tiny: Run, arguments: tuple[str, ...], message: str
) -> None:
    np.save("inputs.npy", np.zeros((40, 8, 8, 1), np.float32))
    code, out, told = tiny(*PRECISION, *arguments)
    assert (code, out) == (2, "")
    assert message in told
    assert told.count("\n") == 1
    assert not Path("out").exists()


def test_an_absent_model_is_told(run: Run) -> None:
    code, _, told = run(*PRECISION)
    assert code == 2
    assert "there is no file 'net.keras'" in told


def test_without_a_name_the_study_is_that_of_the_zoo(run: Run) -> None:
    for arguments in (("study",), ("study", "out", "--db", "none.db"), ("study", "zoo", "out"), ("study", "--json")):
        code, _, told = run(*arguments)
        assert code == 2
        assert "rankline explore --zoo --db" in told, arguments
    code, out, _ = run("study", "--help")
    assert code == 0
    assert all(name in out for name in ("zoo", "precision"))
