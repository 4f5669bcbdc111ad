"""The README shows what the program prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

import rankline
from rankline.cli import main
from rankline.cli.commands import app
from tests.helpers.demo_database import make

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```console\n\$ (rankline [^\n]*)\n(.*?)```", README, flags=re.DOTALL)
REPEATABLE = [shown for shown in SHOWN if shown[0].split()[1] in ("layers", "query")]
UNDER_BUDGET = [shown for shown in SHOWN if shown[0].split()[1] == "budget"]
COMMANDS = re.findall(r"^\$ (rankline [^\n]*)$", README, flags=re.MULTILINE)


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


def test_a_newcomer_has_read_it_in_five_minutes() -> None:
    assert len(README.splitlines()) <= 150


def test_the_readme_has_commands_to_check() -> None:
    assert len(REPEATABLE) >= 2
    assert UNDER_BUDGET
    assert len(COMMANDS) == 5


@pytest.mark.parametrize("command", COMMANDS, ids=lambda text: text[:40])
def test_the_program_takes_each_command_of_the_readme(command: str) -> None:
    found, words = typer.main.get_command(app), shlex.split(command)[1:]
    while words and words[0] in getattr(found, "commands", {}):
        found = found.commands[words.pop(0)]  # type: ignore[attr-defined]
    found.make_context(command, words)


def test_every_file_that_the_readme_links_to_is_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", README) if "://" not in link]
    assert len(links) > 15
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize(("command", "output"), REPEATABLE, ids=lambda text: text[:40])
def test_a_command_prints_what_the_readme_shows(
    demo_database: Path, command: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command)[1:])
    assert not ended.value.code
    assert _trimmed(capsys.readouterr().out) == _trimmed(output)


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
        "own_layers": [], "file": None,
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
