"""Data flows dse <- db <- compress <- reports <- rankline, wherever in a file an import stands, and in no text back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("dse", "db", "compress", "reports", "rankline")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("rankline", "src") * (parts[0] in ROOMS[:-1]) + parts).removesuffix(".__init__")


def modules_in(*folders: str) -> dict[str, Path]:
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {name_of(path): path for path in paths if path.parts[-4:-2] != ("rankline", "src")}


MODULES = modules_in(*ROOMS, "tests", "benchmarks")


def room_of(module: str) -> str:
    return module.removeprefix("rankline.src.").partition(".")[0]


@cache
def imported(path: Path) -> frozenset[str]:
    """Our modules that a file imports, or names in a text that is nothing else, as that of ``import_module``."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: an import that begins with a dot"
            inside = {f"{node.module}.{one.name}" for one in node.names}
            named |= {one if one in MODULES else str(node.module) for one in inside}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            while "." in text and text not in MODULES:
                text = text.rpartition(".")[0]  # what is named may be in a module
            named |= {text} if "." in text else set()
    return frozenset(named & MODULES.keys())


def arrows_up(folder: str, room: str) -> Iterator[str]:
    """Imports of a folder's files from rooms above one, and from tests or benchmarks."""
    allowed = ROOMS[: ROOMS.index(room) + 1]
    for name, path in modules_in(folder).items():
        yield from (f"{name} -> {one}" for one in imported(path) if room_of(one) not in allowed)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_no_higher_one(room: str) -> None:
    assert list(arrows_up(room, room)) == []


@pytest.mark.parametrize("room", ROOMS)
def test_the_tests_of_a_room_import_no_higher_one(room: str) -> None:
    found = arrows_up(f"tests/{room}", room)
    assert [one for one in found if " -> tests." not in one] == []


def test_no_benchmark_imports_a_test() -> None:
    found = [(name, one) for name, path in modules_in("benchmarks").items() for one in imported(path)]
    assert [pair for pair in found if room_of(pair[1]) == "tests"] == []


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = {name: imported(path) - {name} for name, path in modules_in(*ROOMS).items()}
    TopologicalSorter(graph).prepare()


def parameters_of(function: ast.FunctionDef) -> list[str]:
    arguments = function.args
    names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def is_exempt(function: ast.FunctionDef, path: Path) -> bool:
    """Numba's kernels take numbers and arrays alone, a Keras layer what it is saved with, a command its options."""
    kernel = any("njit" in ast.unparse(one) for one in function.decorator_list)
    return kernel or path.parts[-2] in ("cli", "layers")


def test_no_function_takes_more_than_eight_parameters() -> None:
    many = [
        f"{name}.{node.name}"
        for name, path in modules_in(*ROOMS).items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and len(parameters_of(node)) > 8 and not is_exempt(node, path)
    ]
    assert many == []
