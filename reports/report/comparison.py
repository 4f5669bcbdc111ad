"""Two runs side by side: the settings that differ, their models, and each layer's choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rankline.src.db.database import Database
from rankline.src.db.records.measure import SCORE, Measure, measure_of
from rankline.src.db.records.runs import (
    CHOSEN,
    DEVICE_DIGEST,
    DEVICE_NAME,
    FELL_SHORT,
    LayerRecord,
    RunRow,
    TrialRecord,
)
from rankline.src.dse.cost import total
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import FLOPS

UNCOMPARED = ("key", "skipped", "request", "made_by", "damages", DEVICE_NAME, DEVICE_DIGEST, SCORE)
"""Settings that are shown elsewhere, or mean nothing to people."""

Line = Sequence[Any]


@dataclass(frozen=True)
class Side:
    """A run's settings and status, with the trial that it delivered: the original if a baseline found none that is good
    enough, the last one if the run has not finished. trials: how many it tried."""

    network: str
    strategy: str
    status: str
    settings: Mapping[str, Any]
    trials: int
    test_accuracy: float | None
    trial: TrialRecord

    @property
    def measure(self) -> Measure:
        """What its models are judged by."""
        return measure_of(self.settings)

    @property
    def test_value(self) -> float | None:
        """The value of the written model on the test part."""
        return self.test_accuracy if self.measure.is_accuracy else self.settings[SCORE].get("test")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "trial": self.trial.as_dict()}


@dataclass(frozen=True)
class Comparison:
    """Rows of a name and the two runs' values: ``accuracies`` as fractions, ``scores`` of runs that have none, and
    ``sizes`` of the delivered models."""

    settings: Sequence[Line]
    accuracies: Sequence[Line]
    scores: Sequence[Line]
    sizes: Sequence[Line]
    layers: Sequence[Line]


def compared(database: Database, one: int, other: int) -> Comparison:
    """The comparison of two runs. Raises UserError for an unknown run, and for one without a trial."""
    sides = [side(database, run) for run in (one, other)]
    settings = [
        {**one_side.settings, **{name: getattr(one_side, name) for name in ("network", "strategy", "status")}}
        for one_side in sides
    ]
    names = dict.fromkeys(name for some in settings for name in some if name not in UNCOMPARED)
    different = [name for name in names if settings[0].get(name) != settings[1].get(name)]
    choices = [{layer.layer: layer for layer in one_side.trial.layers} for one_side in sides]
    layers = dict.fromkeys(name for some in choices for name in some)
    costs = [one_side.trial.cost for one_side in sides]
    return Comparison(
        settings=[[name, *(setting_text(some.get(name)) for some in settings)] for name in different],
        accuracies=[
            ["validation accuracy", *(one_side.trial.accuracy for one_side in sides)],
            ["test accuracy", *(one_side.test_accuracy for one_side in sides)],
        ]
        if any(one_side.measure.is_accuracy for one_side in sides)
        else [],
        scores=_scores(sides),
        sizes=[
            ["params", *(one_side.trial.cost.params for one_side in sides)],
            [FLOPS.titled("FLOPs", total(costs)), *(cost.flops for cost in costs)],
            ["trials", *(one_side.trials for one_side in sides)],
        ],
        layers=[[name, *(_choice(some.get(name)) for some in choices)] for name in layers],
    )


def _scores(sides: Sequence[Side]) -> list[Line]:
    """The values of scores that are no accuracies, each in a row of its own name."""
    rows: list[Line] = []
    for measure in dict.fromkeys(one.measure for one in sides if not one.measure.is_accuracy):
        same = [one if one.measure == measure else None for one in sides]
        rows.append([f"validation {measure.name}", *(one and _digits(measure.of(one.trial)) for one in same)])
        rows.append([f"test {measure.name}", *(one and _digits(one.test_value) for one in same)])
    return rows


def _digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def side(database: Database, run: int) -> Side:
    """One side of a comparison. Raises UserError if the run is unknown, or has no trial yet."""
    trials = database.trials(run)
    row = next(row for row in database.runs() if row.id == run)
    if not trials:
        raise UserError(f"run {run} has no trial yet")
    otherwise = trials[0 if row.status == FELL_SHORT else -1]
    trial = next((trial for trial in trials if trial.status == CHOSEN), otherwise)
    return Side(row.network, strategy(row), row.status, row.settings, row.trials, row.accuracy, trial)


def strategy(run: RunRow) -> str:
    """A run's strategy: similarity, hybrid, vbmf, pruning or budget."""
    asked = run.settings.get("request") or {}
    return str(run.settings.get("strategy") or asked.get("strategy") or "similarity")


def setting_text(value: Any) -> str | None:
    """A setting as text; lists and mappings are separated by commas."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return None if value is None else str(value)


def ranks_text(ranks: Sequence[int] | None) -> str:
    """Ranks as they are typed: 3x8."""
    return "x".join(map(str, ranks or ()))


def _choice(layer: LayerRecord | None) -> str | None:
    if layer is None:
        return None
    return f"{layer.method} {ranks_text(layer.ranks)}" if layer.method else "as it was"
