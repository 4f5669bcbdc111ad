"""Callbacks that follow a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rankline.src.compress.runs.settings import Settings
from rankline.src.db.records.runs import TrialRecord
from rankline.src.dse.progress import Progress, no_progress

if TYPE_CHECKING:
    import keras

OnPart = Callable[[Settings, int, int], None]
"""Called with the settings of a hybrid's search, its number (from 1), and how many there are."""


def ignore_trial(trial: TrialRecord) -> None:
    """Ignores a trial."""


def ignore_part(settings: Settings, number: int, count: int) -> None:
    """Ignores a search."""


@dataclass(frozen=True, eq=False)
class Watch:
    """Callbacks that follow a run.

    - ``on_trial``: called with each recorded trial
    - ``on_part``: called before each search of a hybrid
    - ``callbacks``: Keras callbacks for every fine-tuning
    - ``progress``: called as exploration and each trial advance
    """

    on_trial: Callable[[TrialRecord], None] = ignore_trial
    on_part: OnPart = ignore_part
    callbacks: Sequence[keras.callbacks.Callback] = ()
    progress: Progress = no_progress
