"""Errors on the command line: ``explore --errors`` and ``--calibrate``, and the questions that they answer."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest

import rankline
from rankline.src.db.records.error_tables import OUTPUTS, WEIGHTS, store_errors
from rankline.src.dse.error_table import BOUND, ESTIMATE, ErrorTable
from tests.rankline.conftest import Run

METHODS = ("--methods", "tucker,svd,qr")
LAYERS_FILE = [{"name": "fc", "kind": "dense", "in_channels": 8, "out_channels": 12}]


def digits_net() -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(6, 3, activation="relu", name="stem"),
            layers.Conv2D(12, 3, strides=2, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax", name="classes"),
        ],
        name="tiny",
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.keras"
    digits_net().save(path)
    return path


@pytest.fixture
def measured(run: Run, saved: Path) -> Run:
    """The commands, where the model is explored with its errors by Tucker, SVD and QR."""
    assert run("explore", str(saved), "--errors", *METHODS)[0] == 0
    return run


def test_explore_with_errors_tells_what_it_stored(run: Run, saved: Path) -> None:
    code, out, _ = run("explore", str(saved), "--errors", *METHODS)
    assert code == 0
    assert "tiny: errors of 6 spaces stored" in out
    assert re.search(r"conv +tucker +weights +exact", out)
    code, out, err = run("explore", str(saved), "--errors", *METHODS)
    assert code == 0
    assert "the errors of these weights are there already" in err
    found = json.loads(run("explore", str(saved), "--errors", *METHODS, "--json")[1])
    assert found["explored"]["network"] == "tiny"
    assert found["errors"] == []
    assert set(json.loads(run("explore", str(saved), *METHODS, "--json")[1])) == set(found["explored"])


def test_calibration_data_makes_the_errors_those_of_the_outputs(run: Run, saved: Path) -> None:
    arguments = ("explore", str(saved), "--calibrate", "digits", "--samples", "60", "--rescale", "1/16", *METHODS)
    code, out, err = run(*arguments, "--json")
    assert code == 0
    found = {(one["layer"], one["method"]): one for one in json.loads(out)["errors"]}
    assert found["conv", "tucker"]["of"] == "outputs"
    assert found["classes", "qr"]["of"] == "weights"
    first, *warned = err.splitlines()
    assert first == "calibrating on 60 inputs of digits"
    (told,) = warned
    assert re.match(r"note: layer 'classes': .* \(and 1 more with fewer than 10 for each\); .* make it smaller$", told)
    assert "Warning" not in err
    assert ".py" not in err


def test_scaling_changes_what_is_calibrated_on(run: Run, saved: Path) -> None:
    run("explore", str(saved), "--calibrate", "digits", *METHODS)
    again = ("explore", str(saved), "--calibrate", "digits", *METHODS, "--json")
    assert json.loads(run(*again)[1])["errors"] == []
    made = json.loads(run(*again, "--mean", "8", "--std", "4")[1])["errors"]
    assert {one["of"] for one in made} == {"outputs"}


def test_inputs_without_labels_are_enough(run: Run, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(".")
    x = np.random.default_rng(0).random((30, 8, 8, 1))
    np.savez("inputs.npz", x_train=x)
    Path("own_inputs.py").write_text("import numpy as np\ndef images():\n    return np.load('inputs.npz')['x_train']\n")
    made = json.loads(run("explore", str(saved), "--calibrate", "inputs.npz", *METHODS, "--json")[1])["errors"]
    assert "outputs" in {one["of"] for one in made}
    again = run("explore", str(saved), "--calibrate", "own_inputs:images", *METHODS, "--json")[1]
    assert json.loads(again)["errors"] == []


def test_untrained_networks_are_told_to_be(run: Run) -> None:
    code, _, err = run("explore", "zoo:lenet5", "--errors", "--methods", "svd")
    assert code == 0
    assert "zoo:lenet5 has random weights" in err


def test_layers_without_names_get_their_errors_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(".")
    Path("own_net.py").write_text(
        "import keras\n"
        "L = keras.layers\n"
        "def small():\n"
        "    return keras.Sequential([keras.Input((9, 9, 3)), L.Conv2D(4, 3), L.Conv2D(5, 3), L.Dense(6)])\n"
    )
    plain = json.loads(run("layers", "own_net:small", "--json")[1])
    found = json.loads(run("explore", "own_net:small", "--errors", "--methods", "svd", "--json")[1])
    stored = json.loads(run("layers", "--json")[1])
    names = [one["name"] for one in plain]
    assert names == [one["name"] for one in stored] == [one["layer"] for one in found["errors"]]
    assert rankline.open("rankline.db").network().source == "own_net:small"


def test_a_model_with_other_layers_is_a_mistake(measured: Run) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="other")], name="tiny")
    with pytest.raises(rankline.UserError, match=r"no layer of network 'tiny' \(stem, conv, classes\) is in model"):
        rankline.measure_errors(model, "rankline.db")


def test_questions_about_errors_are_answered(measured: Run) -> None:
    found = json.loads(measured("query", "conv", "tucker", "--where", "error=:0.8", "--json")[1])
    assert 0 < found["count"] < found["useful"]
    assert all(one["error"] <= 0.8 for one in found["picks"].values())
    _, out, err = measured("query", "conv", "tucker", "--where", "error=:0.8")
    assert f"{100 * found['picks']['min_error']['error']:.1f} %   weights, exact" in out
    assert err == ""
    front = json.loads(measured("pareto", "conv", "--cost", "flops", "--json")[1])
    assert [one["error"] for one in front] == sorted((one["error"] for one in front), reverse=True)
    assert {one["method"] for one in front} <= {"tucker", "svd"}
    assert "that no other beats in error and flops" in measured("pareto", "conv", "--cost", "flops")[1]
    best = json.loads(measured("query", "--where", "error=:0.8", "--json")[1])["best"]
    assert best["conv"]["error"] <= 0.8


def test_an_export_has_the_errors(measured: Run) -> None:
    assert measured("export", "conv", "tucker", "conv.csv", "--where", "error=:0.8")[0] == 0
    with Path("conv.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    solutions = rankline.open("rankline.db").solutions("conv", "tucker").where(error=(None, 0.8))
    assert len(rows) == solutions.count()
    assert min(float(row["error"]) for row in rows) == pytest.approx(solutions.min_error().error)


def test_bounds_and_estimates_are_told_apart_from_errors(measured: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    database = rankline.open("rankline.db")
    ids = {row["name"]: row["id"] for row in database.layers()}
    for method, certainty in (("svd", BOUND), ("qr", ESTIMATE)):
        table = ErrorTable((np.full(10, 0.25),), certainty)
        store_errors(database.engine, ids["classes"], method, WEIGHTS, "digest", {None: table})
    _, out, err = measured("query", "classes", "--within", "all")
    assert re.search(r"svd .*<= 50\.0 %   weights, bound", out)
    assert re.search(r"qr .*~ 50\.0 %   weights, estimate", out)
    assert "<=: the error is at most that" in err
    assert "~: an estimate" in err
    assert "don't compare" not in err
    store_errors(database.engine, ids["classes"], "svd", OUTPUTS, "digest", {None: ErrorTable((np.zeros(10),), BOUND)})
    assert "these don't compare" in measured("query", "classes")[2]
    assert "these don't compare" not in measured("pareto", "classes")[2]
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    _, out, err = measured("query", "classes", "--within", "all")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", out).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(re.search(r"^ qr .*~ 50\.0 %", line) for line in lines)


MISTAKES = [
    (("net.json", "--errors"), "is a layers file, which has no weights"),
    (("net.json", "--calibrate", "digits"), "is a layers file, which has no weights"),
    (("MODEL", "--calibrate", "digit"), "did you mean 'digits'"),
    (("MODEL", "--calibrate", "absent.npz"), "there is no file absent.npz"),
    (("MODEL", "--calibrate", "wide.npz"), "of shape (9, 9, 1); model 'tiny' takes (8, 8, 1)"),
    (("MODEL", "--calibrate", "nan.npz"), "nan.npz: calibration samples must be finite numbers"),
    (("MODEL", "--calibrate", "nothing.npz"), "nothing.npz"),
    (("MODEL", "--calibrate", "digits", "--rescale", "1,2"), "--rescale takes one number"),
    (("MODEL", "--calibrate", "digits", "--mean", "1,2"), "--mean has 2 values, the data 1 channels"),
    (("absent.keras", "--errors"), "absent.keras"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=lambda value: " ".join(value)[:60])
def test_a_mistake_is_answered_before_anything_is_stored(
    run: Run, saved: Path, arguments: tuple[str, ...], message: str
) -> None:
    Path("net.json").write_text(json.dumps(LAYERS_FILE))
    np.savez("wide.npz", x_train=np.zeros((4, 9, 9, 1)))
    np.savez("nan.npz", x_train=np.full((4, 8, 8, 1), np.nan))
    np.savez("nothing.npz", x_train=np.zeros((0, 8, 8, 1)))
    code, out, err = run("explore", *(str(saved) if one == "MODEL" else one for one in arguments))
    assert (code, out) == (2, "")
    assert err.startswith("rankline: ")
    assert message in err
    assert err.count("\n") == 1
    assert not Path("rankline.db").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--zoo", "--errors"), "those of --zoo are random"),
        (("--zoo", "--calibrate", "digits"), "those of --zoo are random"),
        (("MODEL", "--errors", "--samples", "5"), "are for the data of --calibrate"),
        (("MODEL", "--calibrate", "digits", "--samples", "0"), "Invalid value"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    run: Run, saved: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = run("explore", *(str(saved) if one == "MODEL" else one for one in arguments))
    assert (code, out) == (2, "")
    assert message in " ".join(err.replace("│", " ").split())


def test_weights_that_are_not_finite_are_a_mistake(run: Run) -> None:
    model = digits_net()
    kernel, bias = model.get_layer("conv").get_weights()
    model.get_layer("conv").set_weights([np.nan * kernel, bias])
    model.save("broken.keras")
    code, _, err = run("explore", "broken.keras", "--errors")
    assert code == 2
    assert "rankline: layer 'conv': the weights hold NaN or infinity" in err


def test_a_layer_of_zeros_has_no_error(run: Run) -> None:
    model = digits_net()
    kernel, bias = model.get_layer("conv").get_weights()
    model.get_layer("conv").set_weights([0 * kernel, bias])
    model.save("zeros.keras")
    assert run("explore", "zeros.keras", "--errors")[0] == 0
    found = json.loads(run("query", "conv", "tucker", "--json")[1])["picks"]
    assert {one["error"] for one in found.values()} == {0}


def test_python_measures_by_the_names_of_the_command_line(measured: Run, saved: Path) -> None:
    assert rankline.measure_errors(str(saved), "rankline.db", methods=["svd"]) == []
    made = rankline.measure_errors(str(saved), "rankline.db", methods=["svd"], calibrate="digits", samples=900)
    assert {one.of for one in made} == {"outputs"}
