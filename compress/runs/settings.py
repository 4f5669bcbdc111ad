"""The settings of a compression run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rankline.src.compress.methods import known
from rankline.src.compress.training.settings import FineTuning
from rankline.src.dse import methods
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.layer import conv, dense
from rankline.src.dse.metric import METRICS

if TYPE_CHECKING:
    from rankline.src.db.records.measure import Measure
    from rankline.src.db.records.runs import TrialRecord

JUDGED_BY = ("accuracy", "loss")
SCHEDULES = ("one-shot", "iterative")
FITS = ("weights", "data")


@dataclass(frozen=True)
class Settings:
    """The settings of a run; fractions, not percent.

    - ``objective``: the metric to lower, such as params or flops; latency is that on the job's device
    - ``conv_method``, ``dense_method``: the methods for convolutions and for dense layers
    - ``metric``: accuracy or loss, by which trials are judged; where there is no accuracy, its place is taken by the
      score of the model's task
    - ``max_drop``: the most that it may get worse; of a score that is no accuracy, a fraction of the original's value
    - ``step``: how much of the objective's reduction a layer gives back at a time
    - ``max_solutions``: configurations tried at each level
    - ``tolerance``: how far above a level of the objective's reduction a configuration may lie
    - ``sequential_threshold``, ``other_threshold``: the similarity at which a layer keeps its ranks, for layers on
      every path from input to output and for all others
    - ``samples``: training samples on which similarity is measured
    - ``include``, ``exclude``: names or patterns (``conv*``) of layers
    - ``drop_smallest``: the share of the layers, by count, that are left unchanged, the smallest by the objective
    - ``schedule``: ``one-shot`` fine-tunes the whole model once, ``iterative`` after each changed layer
    - ``fit``: how a trial is made before fine-tuning. ``weights`` factorizes the weights of the changed layers and
      keeps all others from the last trial; ``data`` also fits the changed layers to the original's outputs on the
      samples (see ``compress.fit.refit``), or makes and fits all layers anew, whichever has the lower validation loss
    - ``max_trials``, ``max_minutes``: when to stop
    - ``fine_tuning``: how trials are fine-tuned
    - ``seed``: of all random draws
    """

    objective: str = "params"
    conv_method: str = "tucker"
    dense_method: str = "svd"
    metric: str = "accuracy"
    max_drop: float = 0.015
    step: float = 0.05
    max_solutions: int = 1
    tolerance: float = 0.005
    sequential_threshold: float = 0.92
    other_threshold: float = 0.96
    samples: int = 1000
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    drop_smallest: float = 0.1
    schedule: str = "one-shot"
    fit: str = "weights"
    max_trials: int = 60
    max_minutes: float | None = None
    fine_tuning: FineTuning = field(default_factory=FineTuning)
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("include", "exclude"):
            given: str | Sequence[str] = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))
        for what, value, possible in (
            ("objective", self.objective, METRICS),
            ("metric", self.metric, JUDGED_BY),
            ("schedule", self.schedule, SCHEDULES),
            ("fit", self.fit, FITS),
        ):
            if value not in possible:
                raise one_of(what, value, list(possible))
        if self.fit == "data" and self.schedule == "iterative":
            raise UserError(
                "fit 'data' fits the whole network at once; it only goes with fine-tuning (--fine-tune) 'one-shot'"
            )
        for option, method, layer in (
            ("conv_method", self.conv_method, conv("conv", (3, 3), 8, 8, (8, 8))),
            ("dense_method", self.dense_method, dense("dense", 8, 8)),
        ):
            if reason := methods.get(known(method)).refuses(layer):
                raise UserError(f"{option} cannot be '{method}': {reason}")
        if self.metric == "loss" and not 0 <= self.max_drop < math.inf:
            raise UserError(f"max_drop, of the loss, must be a finite number from 0; got {self.max_drop:g}")
        shares = [("step", 0.001), ("tolerance", 1e-6), *([("max_drop", 0)] if self.metric == "accuracy" else [])]
        for name, low in shares:
            if not low <= (value := getattr(self, name)) <= 1:
                raise UserError(
                    f"{name} must be a fraction from {low:g} to 1, {100 * low:g} to 100 points; "
                    f"got {value:g}, {100 * value:g} points"
                )
        for name in ("sequential_threshold", "other_threshold"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise UserError(f"{name} must be a similarity from 0 to 1; got {value}")
        if not 0 <= self.drop_smallest < 1:
            raise UserError(f"drop_smallest must be a fraction from 0 to below 1; got {self.drop_smallest}")
        for name in ("max_solutions", "samples", "max_trials"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise UserError(f"max_minutes must be above 0; got {self.max_minutes}")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"seed must be from 0 to {2**31 - 1:,}; got {self.seed}")

    def merit(self, trial: TrialRecord, by: Measure | None = None) -> float:
        """The score of a trial, higher is better. by: a score in place of the settings' accuracy or loss."""
        if (by := self._decisive(by)) is not None:
            value = by.goodness(trial)
        elif self.metric == "accuracy":
            value = trial.accuracy
        else:
            value = None if trial.loss is None else -trial.loss
        return -math.inf if value is None else float(value)

    def is_good(self, trial: TrialRecord, original: TrialRecord, by: Measure | None = None) -> bool:
        """Whether a trial is at most ``max_drop`` worse than the original."""
        before, decisive = self.merit(original, by), self._decisive(by)
        is_relative = decisive is not None and decisive.is_drop_relative
        allowed = self.max_drop * abs(before) if is_relative else self.max_drop
        return self.merit(trial, by) >= before - allowed - 1e-9

    def _decisive(self, by: Measure | None) -> Measure | None:
        """The score, unless the loss is asked for in place of a task's score."""
        return None if by is not None and by.is_drop_relative and self.metric == "loss" else by

    @classmethod
    def from_record(cls, recorded: Mapping[str, Any]) -> Settings:
        """The settings in the record of a run; other recorded facts are ignored."""
        values = {name: recorded[name] for name in cls.__dataclass_fields__ if name in recorded}
        return cls(**{**values, "fine_tuning": FineTuning(**values["fine_tuning"])})
