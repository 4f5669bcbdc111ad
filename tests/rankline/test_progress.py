"""Progress on standard error: a bar that tells rate and time left, and nothing where nobody looks."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from rankline import progress as module
from rankline.progress import TrialProgress, bar


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
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    shown = Console(file=text, force_terminal=True, color_system=None, width=120, get_time=clock)
    monkeypatch.setattr(module, "console", lambda stderr: shown)
    return text


def test_a_bar_tells_how_much_how_fast_and_how_long(screen: io.StringIO, clock: Clock) -> None:
    with bar("lines", "first") as report:
        clock.now += 2
        report("tucker spaces", 100, 1_000)
        clock.now += 2
        report("svd spaces", 500, 1_000)
    shown = screen.getvalue()
    assert "500 of 1k lines, 125 a second" in shown
    assert "svd spaces" in shown
    assert " left" in shown


def test_a_new_part_begins_with_its_own_rate_and_total(screen: io.StringIO, clock: Clock) -> None:
    with bar("", "first") as report:
        clock.now += 10
        report("samples sent back", 512, 512)
        clock.now += 5
        report("layers fitted", 1, 4)
        clock.now += 5
        report("layers fitted", 2, 4)
    assert "2 of 4, 0.2 a second" in screen.getvalue()


def test_a_part_of_unknown_length_has_no_time_left(screen: io.StringIO, clock: Clock) -> None:
    with bar("", "first") as report:
        report("samples sent back", 512, 512)
        report("statistics", 0, 0)
    lines = [line for line in screen.getvalue().split("\r") if "statistics" in line]
    assert lines
    assert not any(" of " in line or " left" in line for line in lines)


def test_nothing_is_drawn_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("lines", "first") as report:
        report("tucker spaces", 100, 1_000)
    with TrialProgress(3):
        pass
    assert capsys.readouterr() == ("", "")


def test_epochs_have_a_rate_and_the_time_left(screen: io.StringIO, clock: Clock) -> None:
    with TrialProgress(10) as trials:
        (callback,) = trials.callbacks()
        for epoch in range(4):
            clock.now += 2
            callback.on_epoch_end(epoch, {})
    shown = screen.getvalue()
    assert "4 of 10, 0.5 a second" in shown
    assert "0:00:12 left" in shown
