"""What the command line answers, held against the golden files: behaviour that must stay as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.golden.record import GOLDEN, budget, demo, empty_folder, lenet5_spaces, machine


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with empty_folder() as found:
        yield found


def test_the_spaces_of_lenet5_are_the_same_to_the_last_line(folder: Path) -> None:
    assert lenet5_spaces(folder) == golden("lenet5_spaces")


@pytest.fixture(scope="module")
def made(folder: Path) -> tuple[Path, dict[str, Any]]:
    """What the demo makes here; trained weights, and all that follows from them, are a processor's own."""
    recorded = golden("demo")["machine"]
    if recorded != machine():
        pytest.skip(f"needs the processor and packages of the golden files, {recorded}; this one is {machine()}")
    return folder, demo(folder)


@pytest.mark.golden
def test_the_demo_ends_with_the_same_record_plan_and_weights(made: tuple[Path, dict[str, Any]]) -> None:
    assert made[1] == golden("demo")


@pytest.mark.golden
def test_a_budget_ends_with_the_same_record_plan_and_weights(made: tuple[Path, dict[str, Any]]) -> None:
    assert budget(made[0]) == golden("budget")
