"""Who is told of a run while it is made."""

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
"""Is told the settings of a hybrid's search, its number from 1, and how many there are."""


def ignore_trial(trial: TrialRecord) -> None:
    """Does nothing with a trial."""


def ignore_part(settings: Settings, number: int, count: int) -> None:
    """Does nothing with a search."""


@dataclass(frozen=True, eq=False)
class Watch:
    """on_trial: is told every trial when it is on record; on_part: each search of a hybrid before its trials;
    callbacks: Keras's, of every fine-tuning; progress: how far the exploring and each trial have come."""

    on_trial: Callable[[TrialRecord], None] = ignore_trial
    on_part: OnPart = ignore_part
    callbacks: Sequence[keras.callbacks.Callback] = ()
    progress: Progress = no_progress
