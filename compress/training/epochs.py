"""Reports the epochs of a training as progress."""

from __future__ import annotations

from typing import Any

import keras

from rankline.src.dse.progress import Progress


class EpochProgress(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports each finished epoch, and the most there can be."""

    def __init__(self, progress: Progress, label: str = "epochs of fine-tuning") -> None:
        super().__init__()
        self.progress = progress
        self.label = label

    def on_train_begin(self, logs: Any = None) -> None:
        """Reports that none is done yet."""
        self.progress(self.label, 0, self.params["epochs"])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Reports the number done; Keras counts epochs from 0."""
        self.progress(self.label, epoch + 1, self.params["epochs"])
