"""Mistakes that are told before Keras is loaded, and questions that need neither it nor other heavy packages.

Commands run one after the other in a fresh process, which says after each what it has loaded by then.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest

import rankline
from rankline.src.compress.approach import STRATEGIES
from rankline.src.compress.methods import CLASSES, DECOMPOSITIONS
from rankline.src.compress.model.rebuild import leaves
from rankline.src.compress.model.separable import split
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.named_function import check_function
from rankline.src.dse.keras_model.reader import read
from rankline.src.dse.keras_model.saved import SavedLayer
from rankline.src.dse.keras_model.source import _applications, check_model

HEAVY = ("keras", "tensorflow", "jax", "torch")

RUN_ALL = """
import contextlib, io, json, sys
from rankline.cli import main
for command in json.load(sys.stdin):
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        try:
            main(command)
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
    print(json.dumps([code, told.getvalue(), sorted(name for name in sys.modules if "." not in name)]), flush=True)
    if "keras" in sys.modules:
        break
"""


class Answer(NamedTuple):
    code: int
    told: str
    loaded: list[str]


def answers(folder: Path, commands: list[str]) -> dict[str, Answer]:
    """What a fresh process answers to each command, up to the first one that loads Keras."""
    environment = {name: value for name, value in os.environ.items() if name not in ("RANKLINE_DB", "RANKLINE_DATA")}
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        input=json.dumps([command.split() for command in commands]),
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    return dict(zip(commands, (Answer(*json.loads(line)) for line in done.stdout.splitlines()), strict=False))


def nested(with_operation: bool = True) -> keras.Model:
    """HDF5 files can't hold an operation without a layer."""
    layers = keras.layers
    inner = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            layers.Conv2D(6, 3, name="conv"),
            layers.SeparableConv2D(4, 3, name="split"),
            layers.Conv2D(4, 1, groups=2, name="grouped"),
        ],
        name="inner",
    )
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, padding="same", name="stem")(inputs)
    x = layers.Flatten(name="flat")(inner(x) + 1.0 if with_operation else inner(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax", name="classes")(x), name="nested")


def database_of_another_program(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE songs (name TEXT)")
    connection.commit()
    connection.close()


COMPRESS = "compress net.keras --data digits --out small.keras"
BUDGET = "budget net.keras --calibrate digits --out small.keras"
FACTORIZE = "factorize net.keras --out small.keras"
POSSIBLE_MODEL = "MODEL may be a .keras or .h5 file, app:ResNet50, zoo:lenet5, package.module:function"

MODELS = {
    "absent.keras": f"there is no file 'absent.keras'; {POSSIBLE_MODEL}",
    "absent.h5": f"there is no file 'absent.h5'; {POSSIBLE_MODEL}",
    "net.onnx": "'net.onnx' is an ONNX model: write its layers into a layers file to explore it",
    "weights.keras": "'weights.keras' holds no Keras model (weights alone are not enough)",
    "zoo:lenet": "unknown zoo network 'lenet'; did you mean 'lenet5'?",
    "app:ResNet51": "unknown application 'ResNet51'; did you mean 'ResNet5",
    "absent_nets:small": "absent_nets:small: no module 'absent_nets' in ",
    "nets.deep:small": "nets.deep:small: no module 'nets.deep' in ",
    "nets:smal": "unknown function in nets 'smal'; did you mean 'small'? Possible: large, small",
    "net.json": "'net.json' is a layers file, which has no weights; give the model",
}
DATA = {
    "digit": "unknown data 'digit'; did you mean 'digits'?",
    "absent.npz": "there is no file absent.npz; possible data: digits, mnist",
    "text.npz": "text.npz is not an .npz file of plain arrays",
    "other.npz": "other.npz lacks x_train, y_train, x_test, y_test; it holds song, words",
    "nets:digits": "unknown function in nets 'digits'. Possible: large, small",
    "absent_nets:small": "absent_nets:small: no module 'absent_nets' in ",
}
DATABASES = {
    "absent/x.db": "cannot create absent/x.db: the folder absent does not exist",
    "folder": "folder is a folder; give a file",
    "text.npz": "text.npz is not an SQLite database",
    "songs.db": "songs.db is a database of another program (it has the tables songs)",
    "songs://x": "cannot use the database URL songs://x",
}
METHODS = {"tuker": "unknown method 'tuker'; did you mean 'tucker'?"}
LAYERS = {
    "con": "unknown layer 'con'",
    "inner/con": "unknown layer 'inner/con'; did you mean 'inner/conv'? Possible: classes, inner/conv, inner/grouped, "
    "inner/split/depthwise, inner/split/pointwise, stem",
    "x*": "unknown layer 'x*'",
}
OUT = {
    "small.h5": "a model is written as a .keras file; got 'small.h5'",
    "absent/small.keras": "cannot write absent/small.keras: the folder absent does not exist; make it first",
}

MISTAKES: dict[str, str] = {
    **{f"compress {model} --data digits --out small.keras": message for model, message in MODELS.items()},
    **{
        f"budget {model} --calibrate digits --out small.keras --keep-flops 0.5": message
        for model, message in MODELS.items()
    },
    **{
        f"factorize {model} --layer a --method svd --ranks 2 --out small.keras": message
        for model, message in MODELS.items()
    },
    **{f"explore {model}": message for model, message in MODELS.items() if model != "net.json"},
    **{f"explore {model} --errors": message for model, message in MODELS.items()},
    "explore absent.json": "cannot read the layers file 'absent.json': No such file or directory",
    "layers absent.keras": MODELS["absent.keras"],
    **{f"compress net.keras --data {data} --out small.keras": message for data, message in DATA.items()},
    **{f"{BUDGET.replace('digits', data)} --keep-flops 0.5": message for data, message in DATA.items()},
    **{f"explore net.keras --calibrate {data}": message for data, message in DATA.items()},
    "compress net.keras --data inputs.npz --out small.keras": "inputs.npz lacks y_train, x_test, y_test; it holds",
    **{f"{COMPRESS} --db {database}": message for database, message in DATABASES.items()},
    **{f"{BUDGET} --keep-flops 0.5 --db {database}": message for database, message in DATABASES.items()},
    **{f"explore net.keras --db {database}": message for database, message in DATABASES.items()},
    **{f"compress net.keras --data digits --out {out}": message for out, message in OUT.items()},
    **{f"budget net.keras --calibrate digits --keep-flops 0.5 --out {out}": message for out, message in OUT.items()},
    **{f"factorize net.keras --layer stem --method svd --ranks 2 --out {out}": message for out, message in OUT.items()},
    "budget net.keras --calibrate digits --sweep 0.2:0.4:0.1 --out text.npz": "what is made is written into a folder; ",
    **{
        f"{COMPRESS} {option} {layer}": message
        for layer, message in LAYERS.items()
        for option in ("--include", "--exclude")
    },
    **{
        f"{BUDGET} --keep-flops 0.5 {option} {layer}": message
        for layer, message in LAYERS.items()
        for option in ("--include", "--exclude")
    },
    "compress net.h5 --data digits --out small.keras --include inner/con": LAYERS["inner/con"],
    **{f"{COMPRESS} --conv-method {method}": message for method, message in METHODS.items()},
    **{f"{COMPRESS} --dense-method {method}": message for method, message in METHODS.items()},
    **{f"{BUDGET} --keep-flops 0.5 --methods svd,{method}": message for method, message in METHODS.items()},
    **{f"explore net.keras --methods svd,{method}": message for method, message in METHODS.items()},
    **{f"{FACTORIZE} --layer stem --ranks 2 --method {method}": message for method, message in METHODS.items()},
    f"{COMPRESS} --conv-method qr": "conv_method cannot be 'qr': QR factorizes matrices",
    f"{COMPRESS} --dense-method tucker": "dense_method cannot be 'tucker': Tucker factorizes convolutions",
    f"{COMPRESS} --strategy hybrid --dense-method svd,cp": "dense_method cannot be 'cp'",
    f"{COMPRESS} --strategy similar": "unknown strategy 'similar'; did you mean 'similarity'?",
    f"{COMPRESS} --conv-method cp,tt": "strategy similarity takes one method for conv layers",
    f"{COMPRESS} --jobs 2": "jobs is the number of a hybrid's searches in parallel",
    f"{COMPRESS} --step 0": "step must be a fraction from 0.001 to 1",
    f"{COMPRESS} --epochs -1": "epochs must be at least 0; got -1",
    f"{COMPRESS} --learning-rate 2": "learning_rate must be above 0 and up to 1; got 2",
    f"{COMPRESS} --max-trials 0": "max_trials must be at least 1; got 0",
    f"{COMPRESS} --objective size": "unknown objective 'size'",
    f"{COMPRESS} --std 0": "--std takes finite numbers other than 0",
    "compress --data digits": "compress needs MODEL, --data and --out (or --resume RUN)",
    "compress --resume 7 --db net.db": "there is no run 7; the database has runs: none",
    "compress --resume 7 --db absent.db": "no database at absent.db; make one with: rankline explore MODEL",
    "compress net.keras --resume 7 --db net.db": "--resume takes the model, data, file and settings of the run",
    BUDGET: "give a budget, or two at once",
    f"{BUDGET} --keep-flops 0.5 --sweep 0.2:0.4:0.1": "give a budget or a sweep, not both",
    f"{BUDGET} --keep-flops 0.5 --value worth": "unknown value 'worth'. Possible: damage, energy, uniform",
    f"{BUDGET} --keep-flops 0.5 --then-fine-tune 1 --batch-size 0": "batch_size must be at least 1; got 0",
    f"{FACTORIZE} --layer inner/con --method svd --ranks 2": "unknown layer 'inner/con'; did you mean 'inner/conv'? "
    "Possible: classes, inner/conv, inner/split/pointwise, stem",
    f"{FACTORIZE} --layer flat --method svd --ranks 2": "layer 'flat' is a Flatten, and only Dense, Conv1D, Conv2D and "
    "Conv3D are factorized; take it out of the plan",
    f"{FACTORIZE} --layer inner/grouped --method svd --ranks 2": "layer 'inner/grouped' is a grouped convolution",
    f"{FACTORIZE} --layer inner/split/pointwise --method cp --ranks 2": "layer 'inner/split/pointwise': a kernel of "
    "shape (1, 1, 6, 4): CP on a 1x1 convolution repeats SVD",
    f"{FACTORIZE} --layer inner/split/depthwise --method svd --ranks 2": "is a DepthwiseConv2D, and only Dense",
    f"{FACTORIZE} --layer classes --method tucker --ranks 2,2": "layer 'classes': a kernel of shape (64, 10): Tucker "
    "factorizes convolutions; use SVD, QR or T3F",
    f"{FACTORIZE} --layer inner/conv --method qr --ranks 2": "layer 'inner/conv': a kernel of shape (3, 3, 4, 6): QR",
    **{f"deploy {model} --out small.onnx": message for model, message in MODELS.items()},
    **{f"deploy net.keras --data {data} --out small.onnx": message for data, message in DATA.items()},
    **{f"deploy net.keras --out small.onnx --db {database}": message for database, message in DATABASES.items()},
    "deploy net.keras --out small.h5": "a model is written as a .tflite or .onnx file; got 'small.h5'",
    "deploy net.keras --out absent/small.onnx": "cannot write absent/small.onnx: the folder absent does not exist",
    "deploy net.keras --out small.onnx --to lightrt": "unknown runtime to write for 'lightrt'; did you mean 'litert'?",
    "deploy net.keras --out small.onnx --precision int4": "unknown precision 'int4'; did you mean 'int8'?",
    "deploy net.keras --out small.onnx --precision int8": "--precision int8 takes the ranges of maps from samples",
    "measure": "give the FILE to measure: a .keras, .tflite or .onnx file; or --history for what was measured",
    "measure text.npz": "'text.npz' is no file that a runtime here runs; give a .tflite, .onnx, .keras file",
    "measure absent.onnx": "cannot read 'absent.onnx': there is no such file",
    **{f"measure net.keras --data {data}": message for data, message in DATA.items()},
    "measure --history --db absent.db": "no database at absent.db; make one with: rankline explore MODEL",
    f"{FACTORIZE} --layer stem": "give --layer, --method and --ranks, or a --plan alone",
    f"{FACTORIZE} --plan absent.json": "plan absent.json cannot be read",
    f"{FACTORIZE} --plan net.json": "plan net.json: expected an object like",
    f"{FACTORIZE} --plan method.json": "plan method.json: layer 'stem': unknown method 'tuker'; did you mean 'tucker'?",
    f"{FACTORIZE} --plan layer.json": "unknown layer 'steam'; did you mean 'stem'?",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("doors")
    nested().save(path / "net.keras")
    nested(with_operation=False).save(path / "net.h5")
    np.savez(path / "other.npz", song=np.zeros(2), words=np.zeros(2))
    (path / "weights.keras").write_bytes((path / "other.npz").read_bytes())
    np.savez(path / "inputs.npz", x_train=np.zeros((2, 8, 8, 1)))
    (path / "text.npz").write_text("no arrays\n")
    (path / "folder").mkdir()
    (path / "nets.py").write_text("import keras\ndef small():\n    return keras.Sequential()\ndef large():\n    pass\n")
    (path / "net.json").write_text('[{"name": "fc", "kind": "dense", "in_channels": 8, "out_channels": 12}]\n')
    (path / "method.json").write_text('{"stem": {"method": "tuker", "ranks": [2]}}\n')
    (path / "layer.json").write_text('{"steam": {"method": "svd", "ranks": [2]}}\n')
    rankline.open(str(path / "net.db")).explore(str(path / "net.json"), methods=["svd"])
    database_of_another_program(path / "songs.db")
    return path


@pytest.fixture(scope="module")
def before(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


@pytest.fixture(scope="module")
def told(folder: Path, before: set[str]) -> dict[str, Answer]:
    return answers(folder, list(MISTAKES))


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_told_before_keras_is_loaded(told: dict[str, Answer], command: str) -> None:
    assert command in told, "Keras was loaded before this command"
    code, message, loaded = told[command]
    assert code == 2
    assert message.startswith("rankline: ")
    assert MISTAKES[command] in message
    assert message.count("\n") == 1
    assert not set(HEAVY) & set(loaded)


def test_nothing_is_written(told: dict[str, Answer], folder: Path, before: set[str]) -> None:
    assert len(told) == len(MISTAKES)
    left = {one.name for one in folder.iterdir()} - {"__pycache__"}
    assert left == before


def test_questions_to_a_database_load_no_heavy_package(folder: Path) -> None:
    commands = [
        "layers --db net.db",
        "query fc svd --where params_reduction=0.1:0.9 --db net.db",
        "device list --db net.db",
    ]
    for code, _, loaded in answers(folder, commands).values():
        assert code == 0
        assert not {*HEAVY, "sympy", "numba", "pandas", "sklearn", "scipy"} & set(loaded)


def test_the_import_loads_nothing_but_python(folder: Path) -> None:
    code = "import sys; before = set(sys.modules); import rankline; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = {name.partition(".")[0] for name in done.stdout.split()}
    assert found - set(sys.stdlib_module_names) == {"rankline"}


def test_python_gives_the_same_errors(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match="there is no file 'absent.keras'; MODEL may be"):
        rankline.compress("absent.keras", "digits")
    with pytest.raises(UserError, match="unknown data 'digit'; did you mean 'digits'"):
        rankline.compress("net.keras", "digit")
    with pytest.raises(UserError, match="songs.db is a database of another program"):
        rankline.compress("net.keras", "digits", "songs.db")
    with pytest.raises(UserError, match="unknown layer 'inner/con'; did you mean 'inner/conv'"):
        rankline.budget("net.keras", "digits", keep_flops=0.5, include=["inner/con"])
    with pytest.raises(UserError, match="unknown method 'tuker'; did you mean 'tucker'"):
        rankline.budget("net.keras", "digits", keep_flops=0.5, methods=["tuker"])
    with pytest.raises(UserError, match="unknown method 'tuker'; did you mean 'tucker'"):
        rankline.BudgetSettings(methods=["tuker"])


class TestSavedLayers:
    @pytest.mark.parametrize("file", ["net.keras", "net.h5"])
    def test_they_are_those_of_the_loaded_model(self, folder: Path, file: str) -> None:
        saved = self.saved(folder, file)
        kernels = {path: layer.kernel for path, layer in saved.items() if layer.kernel}
        loaded = dict(leaves(split(keras.saving.load_model(folder / file))))
        assert loaded.keys() <= saved.keys()
        assert all(type(layer).__name__ == saved[path].class_name for path, layer in loaded.items())
        assert all(tuple(loaded[path].kernel.shape) == shape for path, shape in kernels.items())
        assert bool(kernels) == (file == "net.keras")

    def test_they_have_all_that_a_reader_lists(self, folder: Path) -> None:
        saved = self.saved(folder, "net.keras")
        assert {layer.name for layer in read(nested())} <= saved.keys()

    def test_a_class_of_the_users_own_counts_as_a_layer_and_as_a_model(self, tmp_path: Path) -> None:
        inner = {"class_name": "Dense", "module": "keras.layers", "config": {"name": "dense", "units": 3}}
        own = {"class_name": "Own", "module": "mine", "config": {"name": "own", "layers": [inner]}}
        config = {"class_name": "Sequential", "config": {"layers": [own]}}
        with zipfile.ZipFile(tmp_path / "own.keras", "w") as archive:
            archive.writestr("config.json", json.dumps(config))
        assert [one.path for one in check_model(str(tmp_path / "own.keras")) or ()] == ["own/dense", "own"]

    def test_a_model_that_does_not_list_its_layers_is_left_for_later(self, folder: Path, tmp_path: Path) -> None:
        for config in ({"class_name": "Own", "config": {}}, {"class_name": "Sequential", "config": {"layers": [3]}}):
            with zipfile.ZipFile(tmp_path / "own.keras", "w") as archive:
                archive.writestr("config.json", json.dumps(config))
            assert check_model(str(tmp_path / "own.keras")) is None

    @staticmethod
    def saved(folder: Path, file: str) -> dict[str, SavedLayer]:
        found = check_model(str(folder / file))
        assert found is not None
        return {layer.path: layer for layer in found}


def test_the_applications_are_those_of_keras() -> None:
    assert set(_applications()) == {name for name, one in vars(keras.applications).items() if callable(one)}


def test_every_name_that_is_loaded_later_is_there() -> None:
    assert all(DECOMPOSITIONS[name].name == name for name in CLASSES)
    for module, name in STRATEGIES.values():
        assert callable(getattr(import_module(f"rankline.src.compress.{module}"), name))


@pytest.mark.parametrize(
    "text",
    [
        "from own_names import *\ndef other(): pass\n",
        "def __getattr__(name): return len\n",
        "def other(): pass\nglobals()['net'] = other\n",
        "def other(): pass\ntry:\n    from own_names import net\nexcept ImportError:\n    net = other\n",
        "def other(): pass\nif True:\n    net = other\n",
        "from own_names import net as net\n",
        "import absent_module\n",
        "def other(:\n",
    ],
)
def test_a_function_that_may_be_there_is_left_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("maybe_nets.py").write_text(text)
    check_function("maybe_nets:net", "")
    check_function("os.path:join", "")
    check_function("keras.applications:ResNet50", "")
