"""Losses add up or don't, and the study says by how much."""

from __future__ import annotations

import pytest

from rankline.src.compress.precision_study.rows import ORIGINAL, Filed, Pair, independence
from rankline.src.compress.precision_study.settings import PrecisionSettings
from rankline.src.dse.errors import UserError


def pair(method: str, precision: str, losses: tuple[float, float, float]) -> Pair:
    filed = Filed(0.5, 0.5, precision, False, 1000, 0.9 - losses[0], 0.9 - losses[2])
    return Pair(method, "allocated", "flops", 0.5, filed, *losses)


def test_a_deviation_is_what_both_lose_less_what_each_loses() -> None:
    one = pair("svd", "int8", (0.02, 0.01, 0.05))
    assert one.predicted == pytest.approx(0.03)
    assert one.deviation == pytest.approx(0.02)
    assert one.as_dict()["deviation"] == one.deviation
    assert one.as_dict()["precision"] == "int8"


def test_independence_is_of_pairs_of_both_alone_whatever_their_sign() -> None:
    pairs = [
        pair(ORIGINAL, "int8", (0.0, 0.5, 0.5)),
        pair("svd", "f32", (0.1, 0.0, 0.4)),
        pair("svd", "int8", (0.02, 0.01, 0.05)),
        pair("cp", "int8", (0.02, 0.01, 0.02)),
    ]
    found = independence(pairs)
    assert found is not None
    assert (found.count, found.mean, found.largest) == (2, pytest.approx(0.015), pytest.approx(0.02))
    assert independence(pairs[:2]) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"keep": (0.5, 1.0)}, "keep takes shares above 0 and below 1"),
        ({"keep": ()}, "keep takes shares"),
        ({"methods": ["tuker"]}, "unknown method 'tuker'; did you mean 'tucker'"),
        ({"precisions": ["int7"]}, "unknown precision 'int7'; did you mean 'int8'"),
        ({"precisions": []}, "there are no precisions to study"),
        ({"runtime": "keras"}, "unknown runtime 'keras'"),
        ({"samples": 0}, "samples must be at least 1; got 0"),
        ({"test_samples": 0}, "test_samples must be at least 1; got 0"),
        ({"prune_epochs": -1}, "prune_epochs must be at least 0; got -1"),
    ],
)
def test_impossible_settings_are_told(given: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PrecisionSettings(**given)  # type: ignore[arg-type]
