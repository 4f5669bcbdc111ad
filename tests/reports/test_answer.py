"""What a report says first, for every kind of run."""

from __future__ import annotations

from typing import Any

import pytest

from rankline.src.db.records.networks import NetworkRow, SpaceRow
from rankline.src.db.records.runs import LayerRecord, RunRow, TrialRecord
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.reports.report.answer import answer
from rankline.src.reports.report.layers import ReportedLayer
from rankline.src.reports.report.outcome import outcome
from tests.reports.conftest import SETTINGS

NETWORK = NetworkRow(1, "n", "Python", "[]", 1000, 900, 90_000, 2)

SPACES = [SpaceRow("a", "tucker", "{}", 1200, 300, 0, 0), SpaceRow("a", "svd", "{}", 34, 3, 0, 0)]


def trial(number: int, status: str, accuracy: float | None) -> TrialRecord:
    params = 1000 if status == "original" else 400
    return TrialRecord(number, status, accuracy, None, Cost(params, 900, 90 * params), 1.0, ())


def layers(*methods: str | None) -> list[ReportedLayer]:
    """Layers a, b, c ... with these methods, or as they were."""
    return [
        ReportedLayer(
            position, 1, position, name, "conv", (3, 3), 1, 1, (1, 1), (1, 1), (1, 1), "same", (1, 1), 1, 1, 9, 9, 9,
            True, None, choice=method and LayerRecord(name, Configuration(method, (1,)), Cost(9, 9, 9)),
        )
        for position, (name, method) in enumerate(zip("abcdefgh", methods, strict=False))
    ]  # fmt: skip


def told(run_status: str, settings: dict[str, Any], *trials: TrialRecord, of: Any = ("tucker", "svd", None)) -> str:
    run = RunRow("n", 7, run_status, "", 0, settings, None, None, None, len(trials))
    found = layers(*of)
    return " ".join(answer(NETWORK, found, SPACES, outcome(run, trials, NETWORK, found)))


def test_a_searched_run_tells_gain_cost_and_choice() -> None:
    assert told("success", SETTINGS, trial(0, "original", 0.9), trial(1, "tried", 0.8), trial(2, "chosen", 0.88)) == (
        "Run 7 met the goal after 2 trials: params −60.0 %, FLOPs −60.0 % and memory −31.6 %, at −2.0 points of "
        "validation accuracy. Chosen: Tucker for a, SVD for b; 1 layer is as it was."
    )


def test_a_run_that_fell_short_tells_whose_numbers_these_are() -> None:
    text = told("fell short", SETTINGS, trial(0, "original", 0.9), trial(1, "tried", 0.5), trial(2, "tried", 0.4))
    assert text.startswith("Run 7 fell short of the goal after 2 trials")
    assert text.endswith(
        "No trial was within the drop allowed; the numbers are those of the most accurate one, trial 1."
    )


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        ([trial(1, "chosen", 0.8)], ["kept within the budget after 1 trial:", "at −10.0 points"]),
        ([trial(1, "tried", 0.8), trial(2, "tried", 0.85)], ["swept budgets", "those of trial 2, the most accurate."]),
        ([trial(1, "tried", None), trial(2, "tried", None)], ["no accuracy is known", "those of trial 2, the last."]),
    ],
)
def test_a_run_under_a_budget_tells_what_it_kept(trials: list[TrialRecord], expected: list[str]) -> None:
    text = told("success", {"strategy": "budget"}, trial(0, "original", 0.9), *trials)
    assert all(part in text for part in expected)


def test_many_layers_are_counted_and_few_are_named() -> None:
    given = [trial(0, "original", 0.9), trial(1, "chosen", 0.9)]
    assert "Chosen: Tucker for 5 layers, CP for 1 layer; 2 layers are as they were." in told(
        "success", SETTINGS, *given, of=(*["tucker"] * 5, "cp", None, None)
    )
    assert "Chosen: Tucker for a and b." in told("success", SETTINGS, *given, of=("tucker", "tucker"))
    assert "Every layer is as it was." in told("success", SETTINGS, *given, of=(None, None))


def test_without_a_run_it_tells_what_is_known_and_what_to_do() -> None:
    known, todo = answer(NETWORK, layers(None, None), SPACES, None)
    assert known.startswith("2 layers, 1k params, 90k FLOPs a sample. 1,234 configurations are known, 303 of them")
    assert todo == "Nothing is compressed yet: rankline compress does it."


def test_a_run_without_a_trial_is_told() -> None:
    assert told("failed", SETTINGS).endswith("Run 7 ended without a trial to show: failed.")
