from __future__ import annotations

import pytest

from rankline.src.dse.numbers import MISSING, change, count, decimals, percent, points, si


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (0, "", "0"),
        (999, "", "999"),
        (999.6, "", "1k"),
        (61_706, "", "61.7k"),
        (999_999, "", "1M"),
        (3_140_000, "B", "3.14 MB"),
        (150, "B", "150 B"),
        (4_089_000_000, "", "4.09G"),
        (-1500, "", "-1.5k"),
    ],
)
def test_counts_have_three_digits_and_a_prefix(number: float, unit: str, text: str) -> None:
    assert si(number, unit) == text


def test_fractions_are_shown_as_percent_with_a_real_minus_and_no_negative_zero() -> None:
    assert percent(0.9812) == "98.1 %"
    assert percent(-0.0001) == "0.0 %"
    assert change(0.357) == "−35.7 %"
    assert change(-0.485) == "+48.5 %"
    assert points(-0.0125) == "−1.2 points"
    assert points(0.004) == "+0.4 points"
    assert decimals(-0.25) == "−0.250"
    assert count(1_234_567) == "1,234,567"


@pytest.mark.parametrize("shown", [si, count, percent, change, points, decimals])
def test_what_is_not_known_is_a_dash(shown: object) -> None:
    assert callable(shown)
    assert shown(None) == MISSING
