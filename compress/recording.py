"""What a run's record says of how it was made, and the key by which an equal one is known."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import keras
import numpy as np

from compress.classifier import frozen_layers
from compress.data import Data
from compress.settings import Settings
from compress.training import Metric

VERSIONS = ("rankline", "keras", keras.backend.backend(), "numpy", "tensorly")
"""Packages whose versions are recorded with a run."""

BUDGET = ("max_trials", "max_minutes")
"""Settings that say when to stop, not what is tried."""


def facts_of(model: keras.Model, data: Data, settings: Settings, metric: Metric | None = None) -> dict[str, Any]:
    """A run's settings and circumstances, as plain values."""
    return {
        **asdict(settings),
        **({} if metric is None else {"own_metric": _name(metric)}),
        "data": data.name,
        "preparation": data.preparation,
        "frozen": frozen_layers(model),
        "versions": {package: version(package) for package in VERSIONS},
    }


def key_of(model: keras.Model, data: Data, settings: Settings, metric: Metric | None = None) -> str:
    """Hash of the model's weights, the data, and all settings that decide what is tried."""
    decisive = {name: value for name, value in asdict(settings).items() if name not in BUDGET}
    judged_by = None if metric is None else _name(metric)
    found = hashlib.blake2b(json.dumps([decisive, judged_by], sort_keys=True).encode(), digest_size=16)
    for weight in model.weights:
        found.update(f"{weight.path} {weight.shape}".encode())
        found.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).data)
    for part in ("x_train", "y_train", "x_validation", "y_validation"):
        array = np.ascontiguousarray(getattr(data, part))
        found.update(f"{part} {array.shape} {array.dtype}".encode())
        found.update(array.data)
    return found.hexdigest()


def _name(metric: Metric) -> str:
    return getattr(metric, "__name__", type(metric).__name__)
