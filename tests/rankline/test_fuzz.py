"""A thousand files that are nearly right: each is refused in one line, or accepted and of use to later commands.

The seed is fixed. All is run in this process, which Keras is loaded into once.
"""

from __future__ import annotations

import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import typer

from rankline.cli import main
from rankline.cli.commands import app
from rankline.src.compress.data.sets import load
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.saved import saved_model
from rankline.src.dse.outgoing import for_terminal
from rankline.src.dse.plan import read_plan
from tests.helpers.fuzz import odd_bytes, odd_json

LAYERS = [
    {"name": "c", "kind": "conv", "kernel": [3, 3], "in_channels": 8, "out_channels": 8, "in_size": [8, 8],
     "strides": [1, 1], "padding": "same", "dilation": [1, 1], "groups": 1, "positions": 1, "sequential": True},
    {"name": "d", "kind": "dense", "in_channels": 32, "out_channels": 10, "positions": 2},
    {"name": "k", "kind": "lstm", "in_channels": 4, "out_channels": 6, "kernel": [1], "in_size": [4],
     "kept_because": "a recurrent layer", "kept_params": 240, "kept_fm": 6, "kept_macs": 300},
]  # fmt: skip

PLAN = {
    "c": {"method": "tucker", "ranks": [2, 4]},
    "d": {"method": "t3f", "ranks": [3], "shape": "2x5:4x8"},
}

COMMAND = typer.main.get_command(app)
"""The command line; typer would make it again for each command, in a quarter of a second."""

RAW = re.compile(r"Error\b|Errno|Traceback|object at 0x|\(--debug")
"""What only an exception that nobody expected says."""


def ran(*arguments: str) -> tuple[int, str]:
    """A command's exit code, and what it wrote to standard error."""
    out, told = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(told):
        try:
            main(list(arguments))
            return 0, told.getvalue()
        except SystemExit as ended:
            return int(ended.code or 0), told.getvalue()


def is_one_line(told: str) -> bool:
    line = for_terminal(told.strip().split("\n")[-1])
    return line.startswith("rankline: ") and line.isprintable() and len(line) < 1500 and not RAW.search(line)


def tried(*arguments: str) -> bool:
    """Whether a command accepted what it was given; if not, it says so in one line."""
    code, told = ran(*arguments)
    assert code in (0, 2), (arguments, told)
    assert code == 0 or is_one_line(told), (arguments, told)
    return code == 0


def taken(read: Callable[[], object]) -> bool:
    """Whether a reader accepts a file; if not, it says so in one line."""
    told = ""
    try:
        read()
    except UserError as error:
        told = f"rankline: {error}"
    assert not told or is_one_line(told), told
    return not told


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rankline.cli.commands.app", COMMAND)
    monkeypatch.delenv("RANKLINE_DB", raising=False)
    return tmp_path


def written(path: Path, valid: object, chance: random.Random) -> None:
    if chance.random() < 0.25:
        path.write_bytes(odd_bytes(json.dumps(valid).encode(), chance))
    else:
        path.write_text(odd_json(valid, chance))


def test_400_layers_files(folder: Path) -> None:
    chance = random.Random(1)
    accepted = 0
    for number in range(400):
        path = folder / "net.json"
        written(path, LAYERS, chance)
        name = f"net{number}"
        if tried("explore", "net.json", "--name", name, "--methods", "svd,tucker,qr", "--db", "net.db"):
            accepted += 1
            for command in ("layers", "spaces"):
                assert ran(command, "--network", name, "--csv", "--db", "net.db")[0] == 0, path.read_bytes()
            if accepted % 10 == 0:
                assert ran("query", "--network", name, "--db", "net.db")[0] in (0, 2), path.read_bytes()
                assert ran("report", "r.md", "--network", name, "--db", "net.db")[0] == 0, path.read_bytes()
    assert 30 < accepted < 300


def test_200_plans(folder: Path) -> None:
    chance = random.Random(2)
    accepted = 0
    for _ in range(200):
        written(folder / "plan.json", PLAN, chance)
        accepted += taken(lambda: read_plan("plan.json"))
    assert 10 < accepted < 150


def small_model() -> keras.Model:
    inputs = keras.Input((8, 8, 2))
    x = keras.layers.Conv2DTranspose(4, 3, name="up")(keras.layers.Conv2D(4, 3, name="c")(inputs))
    return keras.Model(inputs, keras.layers.Dense(3, name="d")(keras.layers.Flatten()(x)))


def nearly(config: str | bytes, chance: random.Random) -> str:
    """A configuration, one time in ten as it is: Keras takes few others."""
    value = json.loads(config)
    return json.dumps(value) if chance.random() < 0.1 else odd_json(value, chance)


def test_200_saved_models(folder: Path) -> None:
    chance = random.Random(3)
    small_model().save("whole.keras")
    small_model().save("whole.h5")
    with zipfile.ZipFile("whole.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with h5py.File("whole.h5") as file:
        config = file.attrs["model_config"]
    accepted = 0
    for number in range(200):
        path = folder / ("net.keras" if number % 2 else "net.h5")
        if number % 10 == 9:
            path.write_bytes(odd_bytes(Path(f"whole{path.suffix}").read_bytes(), chance))
        elif path.suffix == ".keras":
            text = nearly(parts["config.json"], chance)
            version = json.dumps({"keras_version": chance.choice(("2.15.0", "3.9.0"))})
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in {**parts, "config.json": text, "metadata.json": version}.items():
                    archive.writestr(name, content)
        else:
            path.write_bytes(Path("whole.h5").read_bytes())
            with h5py.File(path, "r+") as file:
                file.attrs["model_config"] = nearly(config, chance)
                file.attrs["keras_version"] = chance.choice(("2.15.0", "3.9.0"))
        if taken(lambda path=path: saved_model(path, "give another")) and number % 3 == 0:
            accepted += tried("layers", path.name)
    assert 0 < accepted < 60


def test_100_databases(folder: Path) -> None:
    chance = random.Random(4)
    Path("net.json").write_text(json.dumps(LAYERS))
    assert tried("explore", "net.json", "--methods", "svd,cp", "--db", "whole.db")
    valid = Path("whole.db").read_bytes()
    for _ in range(100):
        Path("odd.db").write_bytes(odd_bytes(valid, chance))
        for command in ("layers", "spaces"):
            tried(command, "--db", "odd.db")
        for left in folder.glob("odd.db*"):
            left.unlink()


def test_100_data_files(folder: Path) -> None:
    chance = random.Random(5)
    odd = (
        np.array(3.0), np.zeros((0, 4)), np.array(["a"]), np.array([1 + 2j]), np.array([2**64 - 1], np.uint64),
        np.full((8, 4), np.nan), np.zeros((8, 4), bool), np.array([object()], dtype=object),
        np.zeros(7, "datetime64[s]"),
    )  # fmt: skip
    good = {
        "x_train": np.ones((8, 4), np.float32), "y_train": np.arange(8) % 2,
        "x_test": np.ones((8, 4), np.float32), "y_test": np.arange(8) % 2,
    }  # fmt: skip
    np.savez("whole.npz", **good)
    valid = Path("whole.npz").read_bytes()
    for number in range(100):
        if number % 2:
            Path("odd.npz").write_bytes(odd_bytes(valid, chance))
        else:
            np.savez("odd.npz", **{**good, chance.choice(list(good)): chance.choice(odd)}, allow_pickle=True)
        taken(lambda: load("odd.npz"))
