from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

import rankline
from rankline.cli import main
from rankline.cli.present import progress as module
from rankline.src.dse.devices.device import Device

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in an empty folder; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANKLINE_DB", raising=False)

    def command(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        try:
            main(list(arguments))
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *capfd.readouterr()

    return command


def add(device: Device) -> None:
    """Puts a device into the database of a command's folder."""
    database = rankline.open("rankline.db")
    database.save_device(device, replace=True)
    database.close()


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(module, "perf_counter", found)
    return found


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> io.StringIO:
    """A terminal that keeps what is written."""
    text = io.StringIO()
    shown = Console(file=text, force_terminal=True, color_system=None, width=120, get_time=clock)
    monkeypatch.setattr(module, "console", lambda stderr: shown)
    return text
