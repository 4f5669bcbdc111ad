"""A small run, to be killed in a process of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np

from rankline.src.compress.data.sets import Data, data_from
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.run import Run
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.search.search import search
from rankline.src.compress.training.fine_tuning import fine_tune
from rankline.src.compress.training.settings import FineTuning
from rankline.src.db.database import open_database

SETTINGS = Settings(
    fine_tuning=FineTuning(epochs=1, learning_rate=1e-3, batch_size=64),
    metric="loss", max_drop=0.0, step=0.1, samples=50, drop_smallest=0.0, max_trials=4, seed=3,
)  # fmt: skip
"""The loss may not rise, which no trial of one epoch reaches."""


def model() -> keras.Model:
    """A tiny trained network with all that has a state of its own: normalisation and dropout."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, padding="same", activation="relu", name="stem"),
            layers.Conv2D(12, 3, padding="same", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.Flatten(name="flat"),
            layers.Dropout(0.3, name="dropout"),
            layers.Dense(16, activation="relu", name="hidden"),
            layers.Dense(4, activation="softmax", name="classes"),
        ],
        name="killed",
    )
    some = data()
    long = FineTuning(epochs=20, learning_rate=3e-3, batch_size=64, patience=20)
    fine_tune(network, (some.x_train, some.y_train), (some.x_validation, some.y_validation), long, seed=0)
    return network


def data() -> Data:
    """Four classes of noisy stripes, which an untrained network knows nothing of."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 400)
    images = rng.standard_normal((400, 8, 8, 1)) + 0.7 * (
        np.arange(8)[None, :, None, None] // 2 == labels[:, None, None, None]
    )
    return data_from((images[:300], labels[:300], images[300:], labels[300:]))


def compressed(path: str, location: str, resume: int | None = None, **changes: Any) -> Run:
    """The run, made or gone on with."""
    database = open_database(location)
    network = keras.saving.load_model(path)
    database.explore(network, name="killed", methods=["tucker", "svd"])
    settings = replace(SETTINGS, **changes)
    return search(Job(network, data(), database, "killed"), settings, resume)
