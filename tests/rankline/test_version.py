"""The package tells its version and its public names, and loads nothing heavy to do so."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import rankline
from rankline.cli import main

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

HEAVY = ("keras", "tensorflow", "numba", "sklearn", "pandas", "importlib.metadata")


def test_the_version_is_the_project_s() -> None:
    assert rankline.__version__ == PROJECT["version"]


def test_the_command_tells_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert not ended.value.code
    assert capsys.readouterr().out == f"rankline {rankline.__version__}\n"


def test_the_import_loads_nothing_heavy() -> None:
    code = f"import sys, rankline; dir(rankline); print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_listed() -> None:
    assert {*rankline._HOMES, "__version__"} == set(rankline.__all__)
    assert set(rankline.__all__) <= set(dir(rankline))
    for name in rankline.__all__:
        assert getattr(rankline, name).__doc__, name


def test_the_license_is_in_the_checkout() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    (name,) = PROJECT["license-files"]
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text


def test_the_changelog_has_a_section_for_what_is_unreleased_and_for_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "\n## [Unreleased]\n" in text
    assert f"\n## [{rankline.__version__}]" in text


def test_what_type_checkers_and_the_reference_read_are_the_homes_of_the_public_names() -> None:
    tree = ast.parse((ROOT / "rankline" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [one for one in tree.body if isinstance(one, ast.If) and ast.unparse(one.test) == "TYPE_CHECKING"]
    imports = [(one.module, name) for one in block.body if isinstance(one, ast.ImportFrom) for name in one.names]
    assert {name.asname or name.name: (module, name.name) for module, name in imports} == rankline._HOMES
