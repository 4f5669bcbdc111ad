"""The README shows what the program prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import rankline
from rankline.cli import app, main
from tests.helpers.demo_database import make

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```console\n\$ (rankline [^\n]*)\n(.*?)```", README, flags=re.DOTALL)
WITH_ERRORS = [(command, output) for command, output in SHOWN if "error=" in command]
REPEATABLE = [
    shown for shown in SHOWN if shown[0].split()[1] in ("layers", "spaces", "query") and shown not in WITH_ERRORS
]
UNDER_BUDGET = [shown for shown in SHOWN if shown[0].split()[1] == "budget"]
FACTORIZED = [(command, output) for command, output in SHOWN if command.split()[1] == "factorize"]


@pytest.fixture
def demo_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo's database without its run: the same network, explored."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "demo" / "rankline.db"
    path.parent.mkdir()
    database = rankline.open(str(path))
    database.explore("zoo:lenet5", name="lenet5")
    database.close()
    monkeypatch.setenv("RANKLINE_DB", str(path))
    return path


def test_the_readme_has_commands_to_check() -> None:
    assert len(REPEATABLE) >= 3
    assert WITH_ERRORS
    assert UNDER_BUDGET
    known = {command.name for command in (*app.registered_commands, *app.registered_groups)}
    assert {command.split()[1] for command, _ in SHOWN} <= known


@pytest.mark.parametrize(("command", "output"), REPEATABLE, ids=lambda text: text[:40])
def test_a_command_prints_what_the_readme_shows(
    demo_database: Path, command: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command)[1:])
    assert not ended.value.code
    assert _trimmed(capsys.readouterr().out) == _trimmed(output)


@pytest.mark.parametrize(("command", "output"), FACTORIZED, ids=lambda text: text[:40])
def test_factorize_prints_what_the_readme_shows_but_for_errors(
    demo_database: Path, command: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The weights here are not trained, so that the errors are others."""
    import keras

    from rankline.src.dse.keras_model.source import load_model

    keras.utils.set_random_seed(0)
    load_model("zoo:lenet5").save("demo/lenet5.keras")
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command)[1:])
    assert not ended.value.code
    printed, shown = (
        [re.sub(r"(x8 +)[\d.]+ %", r"\1ERROR", line) for line in _trimmed(text)]
        for text in (capsys.readouterr().out, output)
    )
    assert printed == shown


@pytest.mark.parametrize(("command", "output"), WITH_ERRORS, ids=lambda text: text[:40])
def test_a_question_about_errors_prints_what_the_readme_shows_but_for_the_ranks(
    demo_database: Path, command: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The weights here are not trained, so that other ranks meet the window; those shown must have the costs shown."""
    from rankline.src.dse.keras_model.source import load_model

    database = rankline.open(str(demo_database))
    rankline.measure_errors(load_model("zoo:lenet5"), database, network="lenet5")
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(re.sub("error=:[0-9.]+", "error=:9", command))[1:])
    assert not ended.value.code
    printed, shown = (
        [re.split(" {2,}", line.strip()) for line in _trimmed(text)] for text in (capsys.readouterr().out, output)
    )
    assert shown[:2] == printed[:2]
    assert [row[0] for row in shown[3:]] == [row[0] for row in printed[3:]]
    for row, other in zip(shown[3:], printed[3:], strict=True):
        told = dict(zip(shown[1], row, strict=True))
        params, flops = (int(told[name].replace(",", "")) for name in ("params", "FLOPs"))
        solutions = database.solutions(shlex.split(command)[2], told["method"])
        found = solutions.where(params=(params, params), flops=(flops, flops)).random(99, seed=0)
        (one,) = [one for one in found if " ".join(map(str, one.ranks)) == told["ranks"]]
        saved = [f"{100 * one.reduction(metric):.1f} %" for metric in ("params", "flops")]
        assert row[3:8] == [f"{one.fm:,}", told["FLOPs"], f"{one.memory:,}", *saved]
        assert row[9] == other[9]


@pytest.mark.parametrize(("command", "output"), UNDER_BUDGET, ids=lambda text: text[:40])
def test_a_budget_is_shown_as_it_is_printed_with_the_costs_of_its_choices(
    demo_database: Path, command: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The weights here are not trained, so that accuracies and damages are those shown, and all else is computed."""
    from rankline.cli.present.budget import write_budget
    from rankline.src.dse.cost import Cost
    from rankline.src.dse.space import spaces_of

    database = rankline.open(str(demo_database))
    network = database.network("lenet5")
    shapes = {layer.name: layer for layer in database.layer_shapes("lenet5")}
    total = now = Cost(network["params"], network["fm"], network["flops"])
    layers = []
    for line in _trimmed(output)[3:-1]:
        path, by, *_, share = re.split(" {2,}", line.strip())
        method, _, text = by.partition(" ") if by != "as it was" else ("svd", "", "")
        ranks = tuple(map(int, text.split("x"))) if text else None
        (space,) = spaces_of(shapes[path], (method,))
        before = space.original
        cost = space.branches[0].polynomials.cost(ranks) if ranks else before
        now = Cost(now.params + cost.params - before.params, 0, now.flops + cost.flops - before.flops)
        kept = {"flops": cost.flops / before.flops, "params": cost.params / before.params}
        damage = float(share.removesuffix(" %")) / 100
        choice = {"method": method if ranks else None, "ranks": ranks, "shape": None}
        layers.append({"layer": path, **choice, "kept": kept, "damage_share": damage})
    assert abs(sum(one["damage_share"] for one in layers) - 1) < 0.005
    run, before, after = re.fullmatch(
        r"run (\d+): .* accuracy ([\d.]+) % → ([\d.]+) % .*", _trimmed(output)[0]
    ).groups()
    keep = float(shlex.split(command)[4])
    assert now.flops <= keep * total.flops
    point = {
        "keep": {"flops": keep}, "kept": {"flops": now.flops / total.flops, "params": now.params / total.params},
        "test_accuracy": float(after) / 100, "layers": layers, "damage": 1.0, "gap": 0.0, "solver": "exact",
    }  # fmt: skip
    write_budget(
        {
            "run": int(run), "points": [point], "original": {"test_accuracy": float(before) / 100}, "value": "damage",
            "fine_tuned": False, "is_sweep": False, "labels": True, "uncounted": [], "samples": 1024,
            "seconds": {"statistics": 1.0, "allocation": 1.0, "fit": 1.0},
        }
    )  # fmt: skip
    printed, shown = (
        [re.sub(r"\(.*points\)", "", line) for line in _trimmed(text)] for text in (capsys.readouterr().out, output)
    )
    assert printed == shown


def test_the_demo_s_run_is_shown_as_it_is_on_record(demo_database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines that the README leaves out are a … there."""
    demo_database.unlink()
    make(demo_database)
    (shown,) = [output for command, output in SHOWN if command == "rankline runs show 1"]
    with pytest.raises(SystemExit):
        main(["runs", "show", "1"])
    printed = iter(_trimmed(capsys.readouterr().out))
    missing = [line for line in _trimmed(shown) if line.strip() != "…" and line not in printed]
    assert not missing
    assert len(_trimmed(shown)) > 10


def test_the_python_of_the_readme_gives_what_its_comments_say(demo_database: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names: dict[str, object] = {}
    checked = 0
    for line in block.split("result = ")[0].splitlines():
        code, _, comment = line.partition("  # ")
        if comment and comment[0] in "(0123456789":
            assert eval(code, names) == eval(comment)
            checked += 1
        else:
            exec(code, names)
    assert checked == 3


def _trimmed(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]
