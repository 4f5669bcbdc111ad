"""What whole models take on a device of this machine, beside what its numbers predict."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from rankline.src.compress.deploy import runtimes
from rankline.src.compress.deploy.timing import Timing, timed
from rankline.src.dse.devices.device import Device
from rankline.src.dse.devices.version import installed_version
from rankline.src.dse.progress import Progress, no_progress

SECONDS = 8.0
"""The longest that models are timed side by side."""


def is_here(device: Device) -> bool:
    """Whether a device is this machine, with the same version of its runtime, so that models can be timed on it."""
    if installed_version(device.runtime) != device.version:
        return False
    return runtimes.get(device.runtime).machine() == device.machine


def latencies(models: Mapping[str, keras.Model], device: Device, progress: Progress = no_progress) -> dict[str, Timing]:
    """The times of a call of each model on a device of this machine, taken in turn.

    Raises UserError where the runtime is missing, can't convert a model (with the operation and its layer), or can't
    run it.
    """
    runtime = runtimes.get(device.runtime)
    with tempfile.TemporaryDirectory() as folder:
        calls = {}
        for number, (name, model) in enumerate(models.items()):
            progress(f"converting for {runtime.title}", number, len(models))
            loaded: Any = model
            if runtime.suffix:
                loaded = Path(folder) / f"{number}{runtime.suffix}"
                runtime.export(model, loaded, device.batch)
            calls[name] = runtime.load(loaded, device.threads).call
        return timed(calls, SECONDS, progress)
