"""A network under a budget: ``rankline budget``, ``rankline.allocate``, ``refit`` and ``budget``, on real digits."""

from __future__ import annotations

import csv
import gc
import io
import json
import os
import re
import subprocess
import sys
import weakref
from fractions import Fraction
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import rankline
from rankline.cli.budget import aim, kept, swept
from rankline.src.compress.budget.run import Budgeted
from rankline.src.compress.data.sets import Data, load
from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.model.growth import growths
from rankline.src.compress.training.fine_tuning import evaluate
from rankline.src.compress.training.settings import FineTuning
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.source import load_model
from rankline.src.dse.plan import read_plan
from tests.helpers.digits_net import trained_on
from tests.helpers.models import residual
from tests.rankline.conftest import Run

STOCK = ["svd", "spatial_svd", "tucker"]
"""Methods whose factors are all layers of Keras."""

FEW = ("--samples", "64", "--methods", "svd")


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits")


@pytest.fixture(scope="module")
def model(digits: Data) -> keras.Model:
    return trained_on(digits)


@pytest.fixture(scope="module")
def saved(model: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "tiny.keras"
    model.save(path)
    return str(path)


@pytest.fixture(scope="module")
def half(digits: Data, saved: str, tmp_path_factory: pytest.TempPathFactory) -> Budgeted:
    """Half of the FLOPs, without training, written and on record."""
    folder = tmp_path_factory.mktemp("half")
    return rankline.budget(
        saved, digits, str(folder / "half.db"), keep_flops=0.5, out=folder / "half.keras", methods=STOCK
    )


def test_half_of_the_flops_without_training_keeps_the_accuracy(half: Budgeted, digits: Data) -> None:
    (point,) = half.points
    assert half.test is not None
    assert point.test is not None
    # 360 images tell an accuracy to 0.01 (a standard deviation), and trained weights differ between processors.
    assert half.test.accuracy > 0.93
    assert point.test.accuracy >= half.test.accuracy - 0.03
    assert point.allocation.cost.flops <= 0.5 * half.total.flops
    assert cost_of(half.model) == point.allocation.cost
    assert set(half.seconds) == {"statistics", "allocation", "fit"}


def test_the_written_file_needs_nothing_of_rankline(half: Budgeted, digits: Data) -> None:
    """Stock layers alone: it loads, and does as well, where Rankline can't be imported."""
    file = half.points[0].file
    assert file is not None
    assert half.points[0].test is not None
    np.savez(file.with_name("test.npz"), x=digits.x_test, y=digits.y_test)
    script = (
        "import sys\n"
        "for name in ('rankline', 'compress', 'dse', 'db'): sys.modules[name] = None\n"
        "import keras, numpy as np\n"
        "data = np.load('test.npz')\n"
        f"model = keras.saving.load_model('{file.name}')\n"
        "print((model.predict(data['x'], verbose=0).argmax(-1) == data['y']).mean())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=file.parent, capture_output=True, text=True, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) == pytest.approx(half.points[0].test.accuracy, abs=0.003)


def test_the_plan_and_the_card_lie_next_to_the_file(half: Budgeted) -> None:
    file = half.points[0].file
    assert file is not None
    assert read_plan(file.with_suffix(".plan.json")) == half.plan
    card = file.with_suffix(".md").read_text()
    assert "at most 50 % of the FLOPs, without training." in card
    assert "1,024 samples of digits, without their labels" in card
    assert "test accuracy of the saved file" in card
    assert all(f"| {path} | {choice.method} |" in card for path, choice in half.plan.items())


def test_the_run_is_on_record_with_every_layer(half: Budgeted, digits: Data) -> None:
    database = rankline.open(str(half.points[0].file).replace(".keras", ".db"))
    (row,) = database.runs()
    assert (row["status"], row["trials"], row["settings"]["strategy"]) == ("success", 1, "budget")
    assert row["accuracy"] == half.points[0].test.accuracy
    assert row["original_accuracy"] == half.test.accuracy
    original, chosen = database.trials(half.run)
    assert (original["status"], chosen["status"]) == ("original", "chosen")
    assert chosen["accuracy"] == evaluate(half.model, digits.x_validation, digits.y_validation).accuracy
    assert (chosen["params"], chosen["flops"]) == (half.points[0].trial.cost.params, half.points[0].trial.cost.flops)
    choices = {one["layer"]: (one["method"], tuple(one["ranks"] or ())) for one in chosen["layers"]}
    expected = {
        path: (option.configuration.method, option.configuration.ranks) if option.configuration else (None, ())
        for path, option in half.points[0].allocation.options.items()
    }
    assert choices == expected
    damages = row["settings"]["damages"]["1"]
    assert sum(damages.values()) == pytest.approx(half.points[0].allocation.damage)
    assert set(damages) == set(choices)
    assert {one["method"] for one in database.spaces("tiny")} == set(STOCK)
    database.close()


@pytest.mark.filterwarnings("ignore::rankline.src.compress.methods.cp.ConvergenceWarning")
def test_how_far_terms_of_cp_cancel_is_on_record_and_on_the_card(digits: Data, saved: str, tmp_path: Path) -> None:
    out = tmp_path / "by_cp.keras"
    done = rankline.budget(saved, digits, str(tmp_path / "cp.db"), keep_flops=0.4, samples=64, methods=["cp"], out=out)
    grown = growths(done.model, done.plan)
    assert set(grown) == set(done.plan)
    database = rankline.open(str(tmp_path / "cp.db"))
    assert database.trials(done.run)[1]["made_by"]["growth"] == pytest.approx(grown, rel=1e-3)
    database.close()
    most = max(grown, key=lambda path: grown[path])
    assert f"cancel each other most in {most}: their squared norms are {grown[most]:.3g} times" in (
        " ".join(out.with_suffix(".md").read_text().split()).replace("\\", "")
    )


def test_allocate_and_refit_are_the_two_steps_of_budget(half: Budgeted, model: keras.Model, digits: Data) -> None:
    allocation = rankline.allocate(model, digits, keep_flops=0.5, methods=STOCK)
    assert allocation.plan == half.plan
    assert allocation.cost == half.points[0].allocation.cost
    fitted = rankline.refit(model, allocation.plan, digits)
    some = digits.x_test[:50]
    np.testing.assert_allclose(fitted.predict(some, verbose=0), half.model.predict(some, verbose=0), atol=1e-4)


def test_samples_alone_are_enough(model: keras.Model, digits: Data) -> None:
    """As an array without the channel axis, of another type, and as the list that a model of several inputs takes."""
    x = digits.x_train[..., 0].astype(np.uint8)
    found = [
        rankline.allocate(model, one, keep_params=0.4, methods=["svd"], samples=100)
        for one in (digits.x_train, x, [digits.x_train])
    ]
    assert found[0].plan == found[1].plan == found[2].plan
    assert found[0].cost.params <= 0.4 * model.count_params()


def test_a_number_and_two_budgets_at_once_are_kept(model: keras.Model, digits: Data) -> None:
    total = cost_of(model)
    asked = {"keep_flops": 0.6, "keep_params": int(0.5 * total.params)}
    allocation = rankline.allocate(model, digits, methods=["svd"], samples=100, value="uniform", **asked)
    assert allocation.cost.flops <= 0.6 * total.flops
    assert allocation.cost.params <= asked["keep_params"]


def test_a_fit_to_data_is_better_than_one_to_weights(model: keras.Model, digits: Data) -> None:
    plan = {
        "conv": Configuration("svd", (3,)),
        "branch": Configuration("svd", (3,)),
        "hidden": Configuration("svd", (4,)),
    }
    losses = {
        fit: evaluate(rankline.refit(model, plan, digits, fit=fit, samples=512), digits.x_test, digits.y_test).loss
        for fit in ("data", "weights")
    }
    assert losses["data"] < losses["weights"]


def test_a_budget_of_everything_changes_nothing(model: keras.Model, digits: Data, tmp_path: Path) -> None:
    done = rankline.budget(
        model, digits, str(tmp_path / "all.db"), keep_flops=1.0, methods=["svd"], samples=64, out=tmp_path / "all.keras"
    )
    assert done.plan == {}
    assert done.points[0].test == done.test
    assert "No layer is factorized." in (tmp_path / "all.md").read_text()


def test_fine_tuning_adds_a_trial_and_keeps_the_plan(model: keras.Model, digits: Data, tmp_path: Path) -> None:
    told, heard = [], []
    done = rankline.budget(
        model, digits, str(tmp_path / "tuned.db"), keep_flops=0.4, methods=["svd"], samples=256,
        fine_tuning=FineTuning(epochs=2, learning_rate=1e-3), on_trial=told.append,
        progress=lambda *given: heard.append(given),
    )  # fmt: skip
    assert [trial.status for trial in told] == ["original", "tried", "chosen"]
    assert told[1].layers == told[2].layers
    assert told[2].loss != told[1].loss
    assert done.points[0].trial == told[2]
    assert told[2].made_by["fine_tuned"] == "2 epochs"
    assert [given for given in heard if "epochs" in given[0]] == [("epochs of fine-tuning", n, 2) for n in range(3)]
    assert set(rankline.open(str(tmp_path / "tuned.db")).runs()[0]["settings"]["damages"]) == {"1", "2"}


def test_layers_that_could_not_change_are_told_with_the_reason(
    run: Run, saved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dense layer behind the flattened maps has 256 inputs."""
    monkeypatch.setattr("rankline.src.compress.fit.fitted_layer.LARGEST_PATCH", 150)
    half = ("budget", saved, "--calibrate", "digits", *FEW, "--exclude", "stem", "--keep-flops", "0.6")
    code, out, err = run(*half, "--out", "small.keras")
    assert code == 0
    reason = "its patches have 256 dimensions, and layers are fitted up to 150"
    assert f"left as they are: hidden: {reason}\n" in err
    assert not re.search("^ hidden", out, flags=re.MULTILINE)
    assert f"Left as they are: stem: left out by include or exclude; hidden: {reason}." in Path("small.md").read_text()
    wanted = {"stem": "left out by include or exclude", "hidden": reason}
    assert rankline.open("rankline.db").runs()[0]["settings"]["skipped"] == wanted
    assert json.loads(run(*half, "--out", "again.keras", "--json")[1])["skipped"] == wanted


def test_what_was_skipped_is_in_the_result(half: Budgeted, saved: str, digits: Data) -> None:
    assert half.skipped == half.settings["skipped"] == {}
    assert set(half.originals) == {"stem", "conv", "branch", "hidden", "classes"}


def test_only_layers_that_are_included_are_refitted(model: keras.Model, digits: Data) -> None:
    plan = {"conv": Configuration("svd", (3,)), "branch": Configuration("svd", (3,))}
    some = {"samples": 64, "settings": rankline.FitSettings(relu_steps=0)}
    made = rankline.refit(model, plan, digits, include=["conv"], **some)
    plain = rankline.refit(model, plan, digits, fit="weights", **some)
    whole = rankline.refit(model, plan, digits, exclude=["stem"], **some)
    for name in ("branch_svd_in", "branch_svd_out", "stem", "hidden", "classes"):
        for now, was in zip(made.get_layer(name).get_weights(), plain.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(now, was)
    for name, other in (("conv_svd_in", plain), ("branch_svd_in", whole), ("hidden", whole)):
        assert np.any(made.get_layer(name).get_weights()[0] != other.get_layer(name).get_weights()[0])
    np.testing.assert_array_equal(whole.get_layer("stem").kernel, model.get_layer("stem").kernel)
    with pytest.raises(UserError, match="unknown layer 'cnov'; did you mean 'conv'"):
        rankline.refit(model, plan, digits, include=["cnov"])


def test_norms_are_reestimated_on_request(run: Run, saved: str) -> None:
    arguments = ("budget", saved, "--keep-flops", "0.4", "--calibrate", "digits", "--fit", "weights", *FEW)
    moments = {}
    for name, more in (("plain", ()), ("no", ("--no-norms",)), ("told", ("--norms",))):
        assert run(*arguments, "--out", f"{name}.keras", *more)[0] == 0
        moments[name] = load_model(f"{name}.keras").get_layer("norm").get_weights()[2]
    assert np.array_equal(moments["plain"], moments["no"])
    assert np.any(moments["plain"] != moments["told"])
    recorded = [row["settings"]["fit_settings"]["norms"] for row in rankline.open("rankline.db").runs()]
    assert recorded == [False, False, True]


def test_a_third_of_the_flops_is_recorded_as_a_number(model: keras.Model, digits: Data, tmp_path: Path) -> None:
    done = rankline.budget(
        model, digits, str(tmp_path / "a.db"), keep_flops=Fraction(1, 3), methods=["svd"], samples=64,
        keep_params=np.int64(model.count_params() // 2),
    )  # fmt: skip
    assert done.points[0].allocation.cost.flops <= done.total.flops // 3
    kept_ = rankline.open(str(tmp_path / "a.db")).runs()[0]["settings"]["keep"]
    assert kept_ == {"flops": 1 / 3, "params": model.count_params() // 2}


def test_a_sweep_lets_go_of_the_models_that_it_has_written(
    model: keras.Model, digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rankline.src.compress.budget.calibrated_model import CalibratedModel

    made, fit = [], CalibratedModel.fit

    def noted(*given: Any, **more: Any) -> keras.Model:
        made.append(weakref.ref(found := fit(*given, **more)))
        return found

    monkeypatch.setattr(CalibratedModel, "fit", noted)
    sweep = {"sweep": {"flops": [0.4, 0.7]}, "methods": ["svd"], "samples": 64}
    written = rankline.budget(model, digits, str(tmp_path / "a.db"), out=tmp_path / "curve", **sweep)
    gc.collect()
    assert [one() for one in made] == [None, None]
    assert [cost_of(point.model) for point in written.points] == [point.allocation.cost for point in written.points]
    kept_ = rankline.budget(model, digits, str(tmp_path / "a.db"), **sweep)
    assert all(one() is point.model for one, point in zip(made[2:], kept_.points, strict=True))


def test_a_budget_is_told_to_machines_as_csv(run: Run, saved: str) -> None:
    arguments = ("budget", saved, "--calibrate", "digits", *FEW, "--csv")
    _, out, _ = run(*arguments, "--keep-flops", "0.5", "--out", "small.keras")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["layer"] for row in rows] == ["stem", "conv", "branch", "hidden", "classes", "whole model"]
    assert sum(float(row["of the damage"] or 0) for row in rows) == pytest.approx(1)
    assert 0 < float(rows[-1]["FLOPs kept"]) <= 0.5
    _, out, _ = run(*arguments, "--sweep", "0.5:0.9:0.4", "--out", "curve")
    assert out == Path("curve/sweep.csv").read_text()


def test_the_command_tells_what_was_kept_and_lost(run: Run, saved: str) -> None:
    arguments = ("budget", saved, "--keep-flops", "0.5", "--calibrate", "digits", "--out", "small.keras", *FEW)
    code, out, err = run(*arguments)
    assert code == 0
    assert err.startswith("least damage at 50 % of the FLOPs\n")
    first, *rest = out.splitlines()
    assert re.match(
        r"run 1: [345][\d.]+ % of the FLOPs and [\d.]+ % of the params kept, test accuracy 9[\d.]+ % → ", first
    )
    assert first.endswith(", without training")
    assert re.search(r"branch +svd \d+ +[\d.]+ % +[\d.]+ % +[\d.]+ %", out)
    assert any(line.startswith(" whole model") for line in rest)
    assert re.search(r"note: layer 'hidden': 64 patches of 256 dimensions, fewer than 10 for each", err)
    assert len(re.findall("layer 'hidden'", err)) == 1
    assert "the least possible, by the exact solver" in err
    assert re.search(
        r"[\d.]+ s of statistics, [\d.]+ s of allocation, [\d.]+ s of fitting, on 64 samples; [\d.]+ GiB of memory", err
    )
    assert "wrote small.keras, small.plan.json and small.md; run 1 is in rankline.db" in err
    assert cost_of(load_model("small.keras")).flops <= 0.5 * cost_of(load_model(saved)).flops
    assert re.search(r"1 +tiny +budget +success +1", run("runs")[1])
    shown = run("runs", "show", "1")[1]
    assert re.search(r"1 +chosen +damage [\d.e-]+, keep_flops 0.5", shown)
    assert re.search(r"1 +branch +svd", shown)
    assert run("report", "report.html")[0] == 0
    assert "kept within the budget" in Path("report.html").read_text()


def test_without_labels_it_works_and_says_so(run: Run, saved: str, digits: Data) -> None:
    np.savez("inputs.npz", x_train=digits.x_train[:80, ..., 0])
    arguments = ("budget", saved, "--calibrate", "inputs.npz", "--rescale", "1/2", *FEW)
    code, out, err = run(*arguments, "--keep-params", "0.5", "--out", "small.keras")
    assert code == 0
    assert "accuracy" not in out
    assert rankline.open("rankline.db").runs()[0]["settings"]["preparation"]["rescale"] == 0.5
    assert "no accuracy is known: the calibration data has no labels" in err
    assert "No accuracy is known" in Path("small.md").read_text()
    assert Path("small.keras").exists()
    assert run("runs", "show", "1")[0] == 0
    assert run("report", "report.html")[0] == 0
    assert "no accuracy is known: there were no labels." in Path("report.html").read_text()
    code, _, err = run(*arguments, "--keep-params", "0.5", "--out", "more.keras", "--then-fine-tune", "2")
    assert code == 2
    assert "fine-tuning needs labels, and 'inputs.npz' has none" in err
    assert not Path("more.keras").exists()
    code, out, _ = run(*arguments, "--sweep", "params=0.4:0.8:0.4", "--out", "curve")
    assert code == 0
    assert "accuracy" not in out
    assert "No accuracy is known" in Path("curve/sweep.html").read_text()
    assert run("report", "report.html")[0] == 0


def test_a_sweep_writes_a_model_for_each_budget_and_a_page(run: Run, saved: str) -> None:
    arguments = ("budget", saved, "--sweep", "0.4:0.7:0.3", "--calibrate", "digits", "--out", "curve", *FEW)
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["files"] == ["curve/sweep.html", "curve/sweep.csv"]
    names = {path.name for path in Path("curve").iterdir()}
    models = {f"flops-{share}.{end}" for share in ("0.4", "0.7") for end in ("keras", "plan.json", "md")}
    assert names == {*models, "sweep.html", "sweep.csv"}
    small, large = found["points"]
    assert small["flops"] < large["flops"]
    assert small["damage"] > large["damage"]
    for point in (small, large):
        assert sum(one["damage_share"] for one in point["layers"]) == pytest.approx(1)
        counted = cost_of(load_model(point["file"]))
        assert (counted.params, counted.flops) == (point["params"], point["flops"])
        assert point["flops"] <= point["keep"]["flops"] * found["original"]["flops"]
    trials = json.loads(run("runs", "show", "1", "--json")[1])
    assert [trial["status"] for trial in trials] == ["original", "tried", "tried"]
    assert run("report", "report.html")[0] == 0
    assert "swept budgets" in Path("report.html").read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.5", 0.5), ("1", 1.0), ("1/4", 0.25), ("2000000", 2_000_000), ("2,000,000", 2_000_000), ("2e6", 2_000_000)],
)
def test_a_budget_is_a_share_or_a_number(text: str, expected: float) -> None:
    assert kept(text, "--keep-flops") == expected
    assert type(kept(text, "--keep-flops")) is type(expected)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "half", "", "nan", "50%", "inf", "0/0"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--keep-flops takes a share above 0 and at most 1"):
        kept(text, "--keep-flops")


@pytest.mark.parametrize(
    ("budgets", "value", "device", "told"),
    [
        ([{"flops": 0.5, "params": 9000}], "damage", "pi", "least damage at 50 % of the FLOPs and 9,000 params"),
        ([{"latency": 0.5}], "damage", "pi", "least damage at 50 % of the latency on 'pi'"),
        ([{"latency": 3 * 10**9}], "energy", "pi", "least error (energy) at 3 ms latency on 'pi'"),
        ([{"flops": 0.2}, {"flops": 0.8}], "damage", None, "least damage at 20 % to 80 % of the FLOPs, in 2 models"),
    ],
)
def test_what_is_optimised_is_told_in_a_line(
    budgets: list[dict[str, float | int]], value: str, device: str | None, told: str
) -> None:
    assert aim(budgets, value, device) == told


def test_a_sweep_has_its_ends_and_no_rounding() -> None:
    assert swept("0.2:0.9:0.1") == {"flops": [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]}
    assert swept("memory=0.5:1:0.5") == {"memory": [0.5, 1.0]}
    assert swept("0.3:0.3:1") == {"flops": [0.3]}


@pytest.mark.parametrize(
    "text",
    ["0.2:0.9", "0:0.9:0.1", "0.2:1.1:0.1", "0.9:0.2:0.1", "0.2:0.9:0", "0.2:0.9:-0.1", "a:b:c", "", "x=0.2:0.9:0.1"],
)
def test_a_malformed_sweep_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--sweep takes shares above 0"):
        swept(text)


def test_a_sweep_of_too_many_budgets_is_refused() -> None:
    with pytest.raises(UserError, match="at most 100 budgets"):
        swept("0.1:0.9:0.0001")


HALF = ("--calibrate", "digits", "--keep-flops", "0.5")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (HALF[:2], "give a budget"),
        ((*HALF, "--norms"), "--norms is for --fit whitened or weights"),
        ((*HALF[:2], "--keep-flops", "0"), "--keep-flops takes a share above 0"),
        ((*HALF[:2], "--keep-flops", "0.001"), "below what is possible with these methods and layers; the least is"),
        ((*HALF[:2], "--keep-params", "10"), "; for 10 % give 0.1"),
        (("--data", "digits", "--keep-flops", "0"), "--keep-flops takes a share above 0"),
        ((*HALF[:2], "--sweep", "0.001:0.6:0.1"), "below what is possible"),
        ((*HALF[:2], "--sweep", "0.5:0.6:0.1", "--out", "empty.npz"), "empty.npz is a file"),
        (("--calibrate", "nothing.npz", *HALF[2:]), "there is no file nothing.npz"),
        (("--calibrate", "mnits", *HALF[2:]), "did you mean 'mnist'"),
        (("--calibrate", "empty.npz", *HALF[2:]), "empty.npz has no calibration samples"),
        (("--calibrate", "wide.npz", *HALF[2:]), "calibration samples are of shape (9, 9, 1)"),
        ((*HALF, "--sweep", "0.2:0.9:0.1"), "a budget or a sweep, not both"),
        ((*HALF, "--exclude", "cnov"), "unknown layer 'cnov'; did you mean 'conv'"),
        ((*HALF, "--include", "stem", "--exclude", "s*"), "no layer left"),
        ((*HALF, "--methods", "svt"), "unknown method 'svt'"),
        ((*HALF, "--value", "worth"), "unknown value 'worth'"),
        ((*HALF, "--fit", "best"), "unknown fit 'best'"),
        ((*HALF, "--solver", "guess"), "unknown solver 'guess'"),
        ((*HALF, "--rescale", "1e38", "--mean", "-3e38"), "calibration samples must be finite"),
        ((*HALF, "--out", "no/such/small.keras"), "no/such does not exist"),
        ((*HALF, "--out", "small.h5"), "written as a .keras file"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[2:]),
)
def test_bad_input_is_refused_before_the_work(run: Run, saved: str, more: tuple[str, ...], message: str) -> None:
    np.savez("empty.npz", x_train=np.zeros((0, 8, 8, 1)))
    np.savez("wide.npz", x_train=np.zeros((20, 9, 9, 1)))
    out = () if "--out" in more else ("--out", "small" if "--sweep" in more else "small.keras")
    code, printed, err = run("budget", saved, *more, *out, "--samples", "64")
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert printed == ""
    assert {path.name for path in Path.cwd().iterdir()} == {"empty.npz", "wide.npz"}


def test_weights_that_are_nan_are_refused(model: keras.Model, digits: Data) -> None:
    broken = keras.models.clone_model(model)
    broken.set_weights([np.full_like(one, np.nan) for one in model.get_weights()])
    with pytest.raises(UserError, match="NaN or infinity"):
        rankline.allocate(broken, digits, keep_flops=0.5)


def test_a_network_with_nothing_to_factorize_is_refused() -> None:
    empty = keras.Sequential([keras.Input((4,)), keras.layers.ReLU()], name="empty")
    with pytest.raises(UserError, match="no layer"):
        rankline.allocate(empty, np.ones((4, 4)), keep_flops=0.5)


def test_python_refuses_what_is_no_calibration_data(model: keras.Model, digits: Data) -> None:
    for data, message in ((None, "no calibration data"), (digits.x_train[:0], "no calibration samples")):
        with pytest.raises(UserError, match=message):
            rankline.allocate(model, data, keep_flops=0.5)
    with pytest.raises(UserError, match="samples must be at least 1"):
        rankline.allocate(model, digits, keep_flops=0.5, samples=0)
    with pytest.raises(UserError, match="above 0 and at most 1"):
        rankline.allocate(model, digits, keep_flops=1.5)
    with pytest.raises(UserError, match="give a budget"):
        rankline.allocate(model, digits)


def test_three_budgets_at_once_are_refused(model: keras.Model, digits: Data) -> None:
    with pytest.raises(UserError, match="two at once"):
        rankline.allocate(model, digits, keep_flops=0.5, keep_params=0.5, keep_memory=0.5)


def test_a_network_with_two_inputs_and_two_outputs_is_factorized_and_written(tmp_path: Path) -> None:
    branching = residual()
    random = np.random.default_rng(0)
    samples = [random.random((40, *one.shape[1:]), dtype=np.float32) for one in branching.inputs]
    done = rankline.budget(
        branching,
        samples,
        str(tmp_path / "two.db"),
        keep_flops=0.8,
        methods=["svd", "tucker"],
        out=tmp_path / "two.keras",
    )
    assert done.plan
    counted = cost_of(load_model(str(tmp_path / "two.keras")))
    assert counted == done.points[0].allocation.cost
    assert counted.flops <= 0.8 * done.total.flops


def test_only_missing_methods_are_explored_and_spaces_that_stand_stay(run: Run, saved: str) -> None:
    run("explore", saved, "--methods", "svd", "--max-rank", "4")
    arguments = ("--calibrate", "digits", "--methods", "svd,qr", "--samples", "64", "--out", "small.keras")
    assert run("budget", saved, "--keep-params", "0.5", *arguments, "--value", "uniform", "--fit", "weights")[0] == 0
    spaces = json.loads(run("spaces", "--json")[1])
    assert {(one["method"], json.loads(one["options"])["max_rank"]) for one in spaces} == {("svd", 4), ("qr", None)}


def test_a_run_that_fails_is_recorded_as_failed(
    model: keras.Model, digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("rankline.src.compress.budget.calibrated_model.CalibratedModel.fit", broken)
    with pytest.raises(OSError, match="no space left"):
        rankline.budget(model, digits, str(tmp_path / "a.db"), keep_flops=0.5, methods=["svd"], samples=64)
    assert [row["status"] for row in rankline.open(str(tmp_path / "a.db")).runs()] == ["failed"]
