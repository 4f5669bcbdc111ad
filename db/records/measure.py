"""What the models of a run are judged by: their accuracy, or another score that is recorded with the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, select, update

from rankline.src.db.backends.engine import writing
from rankline.src.db.records.runs import RunRow, TrialRecord
from rankline.src.db.schema import run
from rankline.src.dse.numbers import MISSING, percent, points

SCORE = "score"
"""Key of a run's settings for what its models are judged by; runs without it are judged by their accuracy."""


@dataclass(frozen=True)
class Measure:
    """A score's name, and whether higher values are better; read and shown in one way wherever a run is.

    is_drop_relative: whether a limit on what may be lost is a fraction of the original's value.
    """

    name: str = "accuracy"
    is_higher_better: bool = True
    is_drop_relative: bool = True

    @property
    def is_accuracy(self) -> bool:
        """Whether it is the share of samples whose class is right."""
        return self == ACCURACY

    @property
    def scale(self) -> int:
        """By what values are multiplied on the axis of a figure."""
        return 100 if self.is_accuracy else 1

    @property
    def axis(self) -> str:
        """The title of that axis."""
        return f"{self.name} (%)" if self.is_accuracy else self.name

    def of(self, trial: TrialRecord) -> float | None:
        """The value of a trial, on validation data."""
        return trial.accuracy if self.is_accuracy else trial.metric

    def goodness(self, trial: TrialRecord) -> float | None:
        """The same, turned so that higher is better."""
        value = self.of(trial)
        return None if value is None else value if self.is_higher_better else -value

    def worst_allowed(self, before: float, max_drop: float) -> float:
        """The value that may just be reached from the original's: of an accuracy less a fraction, of another score
        worse by a fraction of its value."""
        drop = max_drop * abs(before) if self.is_drop_relative else max_drop
        return before - drop if self.is_higher_better else before + drop

    def text(self, value: float | None) -> str:
        """A value: accuracies in percent, others with four digits; a dash for None."""
        if self.is_accuracy:
            return percent(value)
        return MISSING if value is None else f"{value:.4g}".replace("-", "−")

    def change(self, before: float | None, after: float | None) -> str:
        """The difference with its sign: of accuracies in points; a dash where one is unknown."""
        if before is None or after is None:
            return MISSING
        if self.is_accuracy:
            return points(after - before)
        return f"{'+' if after > before else ''}{after - before:.3g}".replace("-", "−")

    def as_dict(self) -> dict[str, Any]:
        """For a run's settings."""
        return {
            "name": self.name,
            "is_higher_better": self.is_higher_better,
            "is_drop_relative": self.is_drop_relative,
        }


ACCURACY = Measure(is_drop_relative=False)


@dataclass(frozen=True)
class Tested:
    """The values of a run's written model and of the original on the test part."""

    after: float | None
    before: float | None


def measure_of(settings: Mapping[str, Any]) -> Measure:
    """What the models of a run with these settings are judged by."""
    kept = settings.get(SCORE)
    if kept is None:
        return ACCURACY
    return Measure(str(kept["name"]), bool(kept["is_higher_better"]), bool(kept.get("is_drop_relative", True)))


def tested(row: RunRow) -> Tested:
    """The values on the test part, of what the run is judged by."""
    if measure_of(row.settings).is_accuracy:
        return Tested(row.accuracy, row.original_accuracy)
    kept = row.settings[SCORE]
    return Tested(kept.get("test"), kept.get("original_test"))


def record_test(engine: Engine, run_id: int, after: float | None, before: float | None) -> None:
    """Adds the values on the test part to the settings of a run that is judged by a score."""
    with writing(engine).begin() as connection:
        settings = json.loads(connection.execute(select(run.c.settings).where(run.c.id == run_id)).scalar_one())
        settings[SCORE] |= {"test": after, "original_test": before}
        values = {"settings": json.dumps(settings, sort_keys=True)}
        connection.execute(update(run).where(run.c.id == run_id).values(**values))
