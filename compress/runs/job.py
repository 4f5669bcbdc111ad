"""What every run is of, whatever it makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from rankline.src.compress.data.sets import Data
from rankline.src.compress.runs.watch import ignore_trial
from rankline.src.compress.training.fine_tuning import ScoreFunction
from rankline.src.db.database import Database
from rankline.src.db.records.runs import TrialRecord
from rankline.src.dse.progress import Progress, no_progress


@dataclass(frozen=True, eq=False)
class Job:
    """A trained model, the data to tune and judge it on (None: there are no labels), and the database that has the
    configurations of ``network``.

    on_trial: is told every trial when it is on record; callbacks: Keras's, of every fine-tuning; metric: a user's
    own, of labels and outputs, the higher the better, to judge by instead of that of the settings; request: what is
    recorded of how the run was asked for; progress: is told how far the work on a trial has come.
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

    @property
    def labelled(self) -> Data:
        """The data, where labels are known."""
        if self.data is None:
            raise ValueError("this job has no labels")
        return self.data

    @property
    def train(self) -> tuple[Any, Any]:
        """Inputs and labels to train on."""
        return self.labelled.x_train, self.labelled.y_train

    @property
    def validation(self) -> tuple[Any, Any]:
        """Inputs and labels that choose."""
        return self.labelled.x_validation, self.labelled.y_validation
