"""The input of every run: a model, data and a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from rankline.src.compress.data.sets import Data
from rankline.src.compress.runs.watch import ignore_trial
from rankline.src.compress.training.losses import ScoreFunction, score_name
from rankline.src.compress.training.task import Task
from rankline.src.db.database import Database
from rankline.src.db.records.measure import ACCURACY, Measure
from rankline.src.db.records.runs import TrialRecord
from rankline.src.dse.devices.device import Device
from rankline.src.dse.devices.latency import LatencyModel
from rankline.src.dse.progress import Progress, no_progress


@dataclass(frozen=True, eq=False)
class Job:
    """A trained model, the data to tune and judge it on (None: no labels), and the database with the configurations
    of ``network``.

    on_trial: called with each recorded trial; callbacks: Keras callbacks for every fine-tuning; metric: the user's
    own score, of labels and outputs, used instead of the settings' metric, higher is better; request: the recorded
    request for the run; progress: called as the work on a trial advances; task: what the model is trained for and
    judged by; device: whose latencies are predicted for every trial, which the objective latency needs.
    """

    model: keras.Model
    data: Data | None
    database: Database
    network: str
    on_trial: Callable[[TrialRecord], None] = ignore_trial
    callbacks: Sequence[keras.callbacks.Callback] = ()
    metric: ScoreFunction | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress = no_progress
    task: Task = field(default_factory=Task)
    device: Device | None = None

    @property
    def measure(self) -> Measure:
        """What people are shown of the models: their accuracy, or another score."""
        own = None if self.task.classifies else self._own
        return own or self.task.measure

    @property
    def judged_by(self) -> Measure | None:
        """The score that decides in place of the settings' accuracy or loss; None if there is none."""
        return self._own or (None if self.task.measure.is_accuracy else self.task.measure)

    @property
    def _own(self) -> Measure | None:
        """The user's own score, which a drop is in the units of."""
        if self.metric is None:
            return None
        name = score_name(self.metric)
        return Measure(f"own {name}" if name == ACCURACY.name else name, is_drop_relative=False)

    @property
    def numbers(self) -> LatencyModel | None:
        """The numbers of its device."""
        return None if self.device is None else self.device.model

    @property
    def labelled(self) -> Data:
        """The labelled data. Raises ValueError if there is none."""
        if self.data is None:
            raise ValueError("this job has no labels")
        return self.data

    @property
    def train(self) -> tuple[Any, Any]:
        """Inputs and labels to train on."""
        return self.labelled.x_train, self.labelled.y_train

    @property
    def validation(self) -> tuple[Any, Any]:
        """Inputs and labels to choose by."""
        return self.labelled.x_validation, self.labelled.y_validation
