"""Every command and every piece of Python of the pages works, in the order of the page."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rankline
from rankline.cli import main
from tests.helpers.demo_database import make
from tests.helpers.docs_page import PAGES, Step, is_ours, steps

pytestmark = pytest.mark.pages

NEVER_ENDS = {"serve": "it serves until it is stopped, and has tests of its own"}
"""Commands that are not run here, with the reason."""

RETRAINED = re.compile(r"(tucker 8x12) +[\d.]+ %")
"""What differs in its last digits wherever mine.keras is trained anew: the error of a factorization."""

SHELL = re.compile(r"^[A-Z_]+=| [<>|] ")
"""What needs a shell, and so a process of its own."""


MAKES_MINE = next(step for step in steps("index.md") if step.language == "python")


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A folder with mine.keras and mine.npz, which the quick start's first Python makes, and the names it defines."""
    folder, before, names = tmp_path_factory.mktemp("mine"), Path.cwd(), dict[str, object]()
    os.chdir(folder)
    try:
        exec(MAKES_MINE.text, names)
    finally:
        os.chdir(before)
    return folder, names


@pytest.fixture
def reader(mine: tuple[Path, dict[str, object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the reader of a page sits: a folder with the two files, and no database named."""
    for path in mine[0].iterdir():
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANKLINE_DB", raising=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("page", [page for page in PAGES if steps(page)])
def test_what_a_page_says_to_do_works(
    page: str, mine: tuple[Path, dict[str, object]], reader: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if page in ("sql.md", "devices.md"):
        make(reader / "rankline.db")
        (reader / "query.sql").write_text("SELECT name FROM network")
    names = dict(mine[1]) if page == "index.md" else {}
    for step in steps(page):
        if step.language == "python":
            if step != MAKES_MINE:
                exec(step.text, names)
        elif is_ours(step.text) and step.text.split()[1] not in NEVER_ENDS:
            capsys.readouterr()
            _run(step)
            shown, printed = _lines(step.output), _lines(capsys.readouterr().out)
            if shown and "error=" in step.text:
                _check_errors(step.text, _cells(shown), _cells(printed))
            elif shown:
                assert shown == printed, step.text


def _check_errors(command: str, shown: list[list[str]], printed: list[list[str]]) -> None:
    """Other ranks may meet the window where mine.keras is trained anew: those shown have the costs and errors shown."""
    highest = float(re.search("error=:([0-9.]+)", command)[1])  # type: ignore[index]
    assert shown[:2] == printed[:2], command
    assert [(row[0], row[-1]) for row in shown[3:]] == [(row[0], row[-1]) for row in printed[3:]], command
    database = rankline.open("rankline.db")
    for row in shown[3:]:
        told = dict(zip(shown[1], row, strict=True))
        solutions = database.solutions(shlex.split(command)[2], told["method"])
        one = solutions.configuration([int(rank) for rank in told["ranks"].split(" ")])
        costs = [f"{number:,}" for number in (one.params, one.fm, one.flops, one.memory)]
        saved = [f"{100 * one.reduction(metric):.1f} %" for metric in ("params", "flops")]
        assert row[2:8] == [*costs, *saved], row
        error = float(told["error"].partition(" %")[0].strip("<=~ ")) / 100
        assert error <= highest
        assert one.error == pytest.approx(error, abs=0.05)


def test_little_is_left_out() -> None:
    """Nothing but what never ends; and most pages have something to run."""
    commands = [step.text for page in PAGES for step in steps(page) if is_ours(step.text)]
    left_out = {text for text in commands if text.split()[1] in NEVER_ENDS}
    assert left_out == {"rankline serve"}
    assert len(commands) > 60


def test_the_function_for_pytorch_reads_layers_with_pytorch_s_attributes(reader: Path) -> None:
    """PyTorch isn't installed: stand-ins of its layers and tensors have the attributes that the function reads."""
    names: dict[str, object] = {}
    for step in steps("how-to/pytorch.md"):
        if step.language == "python":
            exec(step.text, names)
    found = names["layers_of"](Network(), Shaped(1, 3, 32, 32))  # type: ignore[operator]
    assert found == [
        {
            "name": "stem", "kind": "conv", "kernel": [3, 3], "in_channels": 3, "out_channels": 8,
            "in_size": [32, 32], "out_size": [16, 16], "strides": [2, 2], "dilation": [1, 1], "groups": 1,
        },
        {"name": "head", "kind": "dense", "in_channels": 8, "out_channels": 10, "positions": 256},
    ]  # fmt: skip
    from rankline.src.dse.layers_file import layers_of

    stem, head = layers_of(found, "the network")
    assert (stem.out_size, head.positions) == ((16, 16), 256)


class Shaped:
    """A tensor as its shape."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def numel(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count


class Hooked:
    """A layer that calls its hooks with what it got and gave."""

    def __init__(self, **attributes: object) -> None:
        vars(self).update(attributes)
        self.hooks: list[object] = []

    def register_forward_hook(self, hook: object) -> Hooked:
        self.hooks.append(hook)
        return self

    def remove(self) -> None:
        self.hooks.clear()

    def __call__(self, given: Shaped, result: Shaped) -> Shaped:
        for hook in self.hooks:
            hook(self, (given,), result)  # type: ignore[operator]
        return result


class Conv2d(Hooked):
    pass


class Linear(Hooked):
    pass


class Network(Hooked):
    """A convolution, and a linear layer on its channels at every position."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Conv2d(
            kernel_size=(3, 3), in_channels=3, out_channels=8, stride=(2, 2), dilation=(1, 1), groups=1, padding=(1, 1)
        )
        self.head = Linear(in_features=8, out_features=10)

    def named_modules(self) -> list[tuple[str, Hooked]]:
        return [("", self), ("stem", self.stem), ("head", self.head)]

    def __call__(self, given: Shaped) -> Shaped:  # type: ignore[override]
        self.stem(given, Shaped(1, 8, 16, 16))
        return self.head(Shaped(1, 16, 16, 8), Shaped(1, 16, 16, 10))


def _run(step: Step) -> None:
    """Runs a command; its standard output can be captured where it needs no shell."""
    if SHELL.search(step.text):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            step.text, shell=True, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{step.text}\n{done.stderr}"
        return
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(step.text)[1:])
    assert not ended.value.code, step.text


def _lines(text: str) -> list[str]:
    return [RETRAINED.sub(r"\1 ERROR", line).rstrip() for line in text.splitlines() if line.strip()]


def _cells(lines: list[str]) -> list[list[str]]:
    return [re.split(" {2,}", line.strip()) for line in lines]
