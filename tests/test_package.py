"""What is installed is ``rankline`` alone: it works from a wheel, beside a user's own modules, and with old files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from rankline.src.compress.layers.depthwise import DepthwiseAlongAxis
from rankline.src.compress.layers.tt_matrix import TTMatrix
from rankline.src.dse.keras_model.source import load_model

ROOT = Path(__file__).parents[1]

DEPENDENCIES = sysconfig.get_paths()["purelib"]
"""As a plain path, in which the links of editable installs mean nothing."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment into which the wheel is installed that the sdist gives."""
    folder = tmp_path_factory.mktemp("package")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if name.split("/")[0] in ("dse", "db", "compress", "reports", "rankline") or "/" not in name:
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name, follow_symlinks=False)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(folder / "source")]
    subprocess.run(build, check=True, capture_output=True)
    venv.create(folder / "environment", with_pip=False)
    python = folder / "environment" / "bin" / "python"
    (wheel,) = (folder / "dist").glob("*.whl")
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return python


def run(python: Path, *arguments: str, folder: Path) -> str:
    """What a Python that has the wheel, and our dependencies, prints in a folder."""
    environment = {**os.environ, "PYTHONPATH": DEPENDENCIES}
    done = subprocess.run(
        [python, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_commands_run_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    explored = json.loads(run(installed, "-m", "rankline", "explore", "zoo:lenet5", "--json", folder=tmp_path))
    assert explored["n_layers"] == 5
    assert "conv2" in run(installed, "-m", "rankline", "layers", folder=tmp_path)
    run(installed, "-m", "rankline", "report", "report.html", folder=tmp_path)
    assert "lenet5" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_nothing_is_installed_beside_rankline(installed: Path, tmp_path: Path) -> None:
    """Looked for in the environment alone: a dependency may have tests of its own."""
    code = (
        "import sysconfig; from importlib.machinery import PathFinder\n"
        "site = [sysconfig.get_paths()['purelib']]\n"
        "assert PathFinder.find_spec('rankline', site)\n"
        "names = ('dse', 'db', 'compress', 'reports', 'tests', 'benchmarks')\n"
        "print([name for name in names if PathFinder.find_spec(name, site)])"
    )
    assert run(installed, "-c", code, folder=tmp_path).strip() == "[]"


@pytest.mark.parametrize("name", ["dse.py", "db.py", "compress.py", "reports.py", "db/schema.py", "reports/html.py"])
def test_a_script_works_beside_a_users_own(installed: Path, tmp_path: Path, name: str) -> None:
    own = tmp_path / name
    own.parent.mkdir(exist_ok=True)
    for file in {own, own.with_name("__init__.py") if "/" in name else own}:
        file.write_text("raise SystemExit('a module of the user was imported')\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import rankline\n"
        "db = rankline.open('space.db')\n"
        "db.explore([{'name': 'fc', 'kind': 'dense', 'in_channels': 8, 'out_channels': 8}], name='net')\n"
        "print(db.solutions('fc', 'svd').count())\n"
    )
    assert int(run(installed, str(script), folder=tmp_path)) > 0


def test_a_checkout_without_symbolic_links_says_so_in_one_line(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "rankline", tmp_path / "rankline", symlinks=True)
    link = tmp_path / "rankline" / "src" / "db"
    target = os.readlink(link)
    link.unlink()
    link.write_text(target)
    done = subprocess.run(
        [sys.executable, "-c", "import rankline; rankline.open('space.db')"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: this checkout of Rankline has text files in the place of symbolic links; ")


@pytest.mark.parametrize("module", ["compress.depthwise", "compress.tt_matrix", "somewhere.else"])
def test_models_load_whatever_module_their_layers_were_saved_from(tmp_path: Path, module: str) -> None:
    model = keras.Sequential([keras.Input((8, 6)), DepthwiseAlongAxis(0, 3), TTMatrix((2, 3), (2, 3), (2,))])
    file = tmp_path / "old.keras"
    model.save(file)
    with zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    config = content["config.json"].decode()
    for home in ("depthwise", "tt_matrix"):
        assert f'"rankline.src.compress.layers.{home}"' in config
        config = config.replace(f'"rankline.src.compress.layers.{home}"', f'"{module}"')
    content["config.json"] = config.encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    x = np.random.default_rng(0).normal(size=(2, 8, 6)).astype("float32")
    np.testing.assert_array_equal(load_model(str(file))(x), model(x))
    assert module not in sys.modules
