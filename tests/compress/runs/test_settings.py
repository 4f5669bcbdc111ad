"""What a run is made with: what is refused, what survives the record, and what is judged by."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.training.settings import FineTuning
from rankline.src.db.records.measure import Measure
from rankline.src.db.records.runs import TrialRecord
from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import UserError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "size"}, "unknown objective 'size'.*Possible: flops, fm, latency, memory, params"),
        ({"metric": "acuracy"}, "unknown metric 'acuracy'; did you mean 'accuracy'"),
        ({"schedule": "oneshot"}, "unknown schedule 'oneshot'; did you mean 'one-shot'"),
        ({"conv_method": "tuker"}, "did you mean 'tucker'"),
        ({"conv_method": "qr"}, "conv_method cannot be 'qr'"),
        ({"dense_method": "tucker"}, "dense_method cannot be 'tucker': Tucker factorizes convolutions; use SVD"),
        ({"max_drop": 1.5}, "max_drop must be a fraction from 0 to 1, 0 to 100 points; got 1.5, 150 points"),
        ({"max_drop": -0.01}, "max_drop must be a fraction"),
        ({"max_drop": float("nan")}, "max_drop must be a fraction"),
        ({"max_drop": -1, "metric": "loss"}, "max_drop, of the loss, must be a finite number from 0; got -1"),
        ({"max_drop": float("inf"), "metric": "loss"}, "max_drop, of the loss"),
        ({"step": 0}, "step must be a fraction from 0.001"),
        ({"step": float("nan")}, "step must be a fraction"),
        ({"tolerance": 0}, "tolerance must be a fraction"),
        ({"sequential_threshold": 92}, "sequential_threshold must be a similarity from 0 to 1; got 92"),
        ({"other_threshold": -0.1}, "other_threshold must be a similarity"),
        ({"drop_smallest": 1}, "drop_smallest must be a fraction from 0 to below 1; got 1"),
        ({"drop_smallest": -0.1}, "drop_smallest must be"),
        ({"max_solutions": 0}, "max_solutions must be at least 1"),
        ({"samples": 0}, "samples must be at least 1"),
        ({"max_trials": 0}, "max_trials must be at least 1"),
        ({"max_minutes": 0}, "max_minutes must be above 0; got 0"),
        ({"max_minutes": float("nan")}, "max_minutes must be above 0"),
        ({"seed": -1}, "seed must be from 0"),
        ({"seed": 2**31}, "seed must be from 0"),
    ],
)
def test_a_bad_setting_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Settings(**changes)


def test_a_loss_may_drop_by_more_than_one() -> None:
    assert Settings(metric="loss", max_drop=2.5).max_drop == 2.5


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(
            objective="memory", conv_method="svd", dense_method="t3f", metric="loss", max_drop=1.25, step=0.02,
            max_solutions=10, include=("conv*", "fc1"), exclude=("conv9",), drop_smallest=0.0, schedule="iterative",
            max_trials=7, max_minutes=1.5, fine_tuning=FineTuning(3, 1e-2, 16, 2), seed=9,
        ),
    ],
)  # fmt: skip
def test_settings_come_back_from_the_record_as_they_were(settings: Settings) -> None:
    recorded = json.loads(json.dumps({**asdict(settings), "data": "digits", "skipped": {}, "key": "0"}))
    assert Settings.from_record(recorded) == settings


def test_one_pattern_may_stand_alone() -> None:
    assert Settings(include="conv*").include == ("conv*",)  # type: ignore[arg-type]
    assert Settings(exclude=["a", "b"]).exclude == ("a", "b")  # type: ignore[arg-type]


OWN = Measure("own", is_drop_relative=False)
ORIGINAL = TrialRecord(0, "original", 0.9, 0.3, Cost(9, 9, 9), 0.1, (), metric=0.5)


@pytest.mark.parametrize(
    ("settings", "by", "good", "bad"),
    [
        (Settings(max_drop=0.02), None, {"accuracy": 0.88}, {"accuracy": 0.8799}),
        (Settings(max_drop=0.0), None, {"accuracy": 0.9}, {"accuracy": 0.8999}),
        (Settings(max_drop=0.1, metric="loss"), None, {"loss": 0.4, "accuracy": 0.1}, {"loss": 0.4001}),
        (Settings(max_drop=0.1), OWN, {"metric": 0.4, "accuracy": 0.1}, {"metric": 0.3999}),
    ],
    ids=["accuracy", "no drop at all", "loss", "own metric"],
)
def test_a_trial_is_good_up_to_just_the_drop(
    settings: Settings, by: Measure | None, good: dict[str, float], bad: dict[str, float]
) -> None:
    assert settings.is_good(replace(ORIGINAL, **good), ORIGINAL, by)  # type: ignore[arg-type]
    assert not settings.is_good(replace(ORIGINAL, **bad), ORIGINAL, by)  # type: ignore[arg-type]
    assert settings.merit(replace(ORIGINAL, **good), by) > settings.merit(replace(ORIGINAL, **bad), by)  # type: ignore[arg-type]


def test_a_trial_that_diverged_has_no_merit() -> None:
    diverged = replace(ORIGINAL, accuracy=None, loss=None, metric=None)
    for settings, by in ((Settings(), None), (Settings(metric="loss"), None), (Settings(), OWN)):
        assert settings.merit(diverged, by) == float("-inf")
        assert not settings.is_good(diverged, ORIGINAL, by)
