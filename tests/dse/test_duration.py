"""Durations are parsed exactly, and written with three digits."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankline.src.dse.duration import SHOWN, UNITS, duration_text, picoseconds
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import FLOPS, LATENCY

GIVEN = [
    ("200us", 200_000_000),
    ("200 us", 200_000_000),
    ("1.5ms", 1_500_000_000),
    ("0.1µs", 100_000),
    ("0.1μs", 100_000),
    ("1e3ns", 1_000_000),
    ("1/3 s", Fraction(10**12, 3)),
    ("7ps", 7),
    ("0ms", 0),
]


@pytest.mark.parametrize(("text", "wanted"), GIVEN)
def test_a_text_is_the_exact_number_of_picoseconds(text: str, wanted: Fraction) -> None:
    assert picoseconds(text) == LATENCY.number(text) == wanted


@pytest.mark.parametrize("text", ["200", "", "us", "200 min", "five us", "2 0us", "nan s", "1/0 s", "0x1us"])
def test_a_text_without_a_number_or_unit_is_refused_with_the_units(text: str) -> None:
    with pytest.raises(UserError, match=r"is not a duration; give a number with its unit \(ns, us, ms or s\)"):
        picoseconds(text)


@given(st.integers(0, 10**16), st.sampled_from(SHOWN))
def test_a_whole_number_of_each_unit_is_exact(number: int, unit: str) -> None:
    assert picoseconds(f"{number}{unit}") == number * UNITS[unit]


@given(st.integers(0, 10**17))
def test_what_people_see_is_within_half_of_its_third_digit(duration: int) -> None:
    shown = picoseconds(duration_text(duration).replace(",", ""))
    assert abs(shown - duration) <= Fraction(duration, 199) + (10**12 if duration >= 10**15 else 0)


@pytest.mark.parametrize(
    ("duration", "text"),
    [(0, "0 ps"), (214_123_456, "214 us"), (999_499, "999 ns"), (999_500, "1 us"), (12_345_678, "12.3 us"),
     (5 * 10**12, "5 s"), (12_345 * 10**12, "12,345 s")],
)  # fmt: skip
def test_people_see_three_digits_and_a_unit(duration: int, text: str) -> None:
    assert duration_text(duration) == LATENCY.text(duration) == text


def test_numbers_are_picoseconds_and_other_metrics_have_no_unit() -> None:
    assert LATENCY.number(200) == FLOPS.number("200") == 200
    assert LATENCY.number(0.1) == Fraction(1, 10)
    assert FLOPS.text(12_345) == "12,345"
    with pytest.raises(UserError, match="'5us' is not a number"):
        FLOPS.number("5us")
