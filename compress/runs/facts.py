"""How a run was made, as recorded, and the key by which equal runs are recognized."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import keras
import numpy as np

from rankline.src.compress.data.arrays import each
from rankline.src.compress.data.classifier import frozen_layers
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.latency import device_facts, digest_of
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.training.losses import score_name
from rankline.src.db.records.measure import SCORE
from rankline.src.dse.keras_model.graph import trace
from rankline.src.dse.metric import metric

VERSIONS = ("rankline", "keras", keras.backend.backend(), "numpy", "tensorly")
"""Packages whose versions are recorded with a run."""

BUDGET = ("max_trials", "max_minutes")
"""Settings that decide when to stop, not what is tried."""


def versions() -> dict[str, str]:
    """The installed version of each package in VERSIONS."""
    return {package: version(package) for package in VERSIONS}


def facts_of(job: Job, settings: Settings) -> dict[str, Any]:
    """A run's settings, environment and request, as plain values."""
    return {
        **asdict(settings),
        **({} if job.metric is None else {"own_metric": score_name(job.metric)}),
        **score_facts(job),
        **device_facts(job.device),
        "data": job.labelled.name,
        "preparation": job.labelled.preparation,
        "frozen": frozen_layers(job.model),
        "versions": versions(),
        **job.request,
    }


def score_facts(job: Job) -> dict[str, Any]:
    """What the models are judged by, where that is no accuracy, and how they are trained."""
    return {} if job.measure.is_accuracy else {SCORE: job.measure.as_dict(), "task": job.task.told}


def key_of(job: Job, settings: Settings) -> str:
    """Hash of the model's layers and weights, the data, and all settings that decide what is tried, with the numbers of
    the device where latency is the objective.

    It is the same for a model in memory and for that model loaded from a file.
    """
    decisive = {name: value for name, value in asdict(settings).items() if name not in BUDGET}
    judged_by: Any = None if job.metric is None else score_name(job.metric)
    if not job.measure.is_accuracy:
        judged_by = [judged_by, job.task.told]
    found = hashlib.blake2b(json.dumps([decisive, judged_by], sort_keys=True).encode(), digest_size=16)
    if job.device is not None and metric(settings.objective).needs_device:
        found.update(digest_of(job.device).encode())
    weighted = (call.path for call in trace(job.model) if getattr(call.layer, "weights", ()))
    found.update(" ".join(weighted).encode())
    for weight in job.model.weights:  # by name: their paths change when the model is loaded from a file
        found.update(f"{weight.name} {weight.shape}".encode())
        found.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).data)
    for part in ("x_train", "y_train", "x_validation", "y_validation"):
        for array in map(np.ascontiguousarray, each(getattr(job.labelled, part))):
            found.update(f"{part} {array.shape} {array.dtype}".encode())
            found.update(array.data)
    return found.hexdigest()
