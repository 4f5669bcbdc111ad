"""Progress on standard error: a bar that tells rate and time left, and nothing where nobody looks."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from rankline.cli.present.progress import bar
from tests.rankline.conftest import Clock, Run

Report = tuple[float, str, int, int]
"""Seconds that have passed, and what is told then."""


@pytest.mark.parametrize(
    ("unit", "told", "shown"),
    [
        ("lines", [(2, "tucker spaces", 100, 1_000), (2, "svd spaces", 500, 1_000)], "500 of 1k lines, 125 a second"),
        ("", [(10, "samples sent back", 512, 512), (5, "layers fitted", 1, 4), (5, "layers fitted", 2, 4)],
         "2 of 4, 0.2 a second"),
        ("", [(10, "judging", 0, 0), (5, "epochs", 0, 4), (5, "epochs", 1, 4), (5, "epochs", 2, 4)],
         "2 of 4, 0.2 a second"),
    ],
    ids=["one part", "a new part begins with the one before", "a part that is told of at its start begins there"],
)  # fmt: skip
def test_a_bar_tells_how_much_how_fast_and_how_long(
    unit: str, told: list[Report], shown: str, screen: io.StringIO, clock: Clock
) -> None:
    with bar(unit, "first") as report:
        for seconds, *given in told:
            clock.now += seconds
            report(*given)
    assert shown in screen.getvalue()
    assert told[-1][1] in screen.getvalue()
    assert " left" in screen.getvalue()


def test_steps_of_minutes_have_the_time_left_too(screen: io.StringIO, clock: Clock) -> None:
    with bar("", "first") as report:
        for epoch in range(5):
            report("epochs", epoch, 10)
            clock.now += 120
    assert "0:12:00 left" in screen.getvalue()


def test_a_part_of_unknown_length_has_no_time_left(screen: io.StringIO, clock: Clock) -> None:
    with bar("", "first") as report:
        clock.now += 1
        report("samples sent back", 0, 512)
        report("statistics", 0, 0)
    lines = [line for line in screen.getvalue().split("\r") if "statistics" in line]
    assert lines
    assert not any(" of " in line or " left" in line for line in lines)


@pytest.mark.parametrize("total", [0, 4])
def test_a_bar_has_the_label_that_was_told_last(total: int, screen: io.StringIO) -> None:
    with bar("", "first") as report:
        for label in ("first", "judging", "writing"):
            report(label, 0, total)
    assert "writing" in last_line(screen)
    assert "judging" not in last_line(screen)


def last_line(screen: io.StringIO) -> str:
    """The bar as it was before it was wiped away."""
    return [line for line in screen.getvalue().split("\r") if "0:00:" in line][-1]


def test_nothing_is_drawn_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("lines", "first") as report:
        report("tucker spaces", 100, 1_000)
    assert capsys.readouterr() == ("", "")


PLAN = '{"conv2": {"method": "tucker", "ranks": [3, 8]}, "fc1": {"method": "svd", "ranks": [9]}}'


@pytest.mark.parametrize(
    ("given", "count"),
    [(("--layer", "conv2", "--method", "tucker", "--ranks", "3,8"), 1), (("--plan", "plan.json"), 2)],
    ids=["by hand", "from a plan"],
)
def test_factorize_shows_the_layers_on_a_terminal(
    given: tuple[str, ...], count: int, run: Run, screen: io.StringIO
) -> None:
    Path("plan.json").write_text(PLAN)
    code, _, err = run("factorize", "zoo:lenet5", "--out", "small.keras", *given)
    assert code == 0, err
    assert "layers decomposed" in last_line(screen)
    assert f"{count} of {count} layers" in last_line(screen)
