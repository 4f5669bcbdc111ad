"""The epochs of a training, for who is told of progress."""

from __future__ import annotations

from typing import Any

import keras

from rankline.src.dse.progress import Progress


class EpochProgress(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells of each epoch, and of how many there are at most."""

    def __init__(self, progress: Progress, label: str = "epochs of fine-tuning") -> None:
        super().__init__()
        self.progress = progress
        self.label = label

    def on_train_begin(self, logs: Any = None) -> None:
        """Before the first."""
        self.progress(self.label, 0, self.params["epochs"])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """After each; they are counted from 0."""
        self.progress(self.label, epoch + 1, self.params["epochs"])
