"""What whole models take on a device of this machine, beside what its numbers predict.

Runtimes are loaded at first use: a device elsewhere needs none.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankline.src.dse.devices.device import Device
from rankline.src.dse.devices.version import installed_version
from rankline.src.dse.errors import UserError
from rankline.src.dse.precision import F32
from rankline.src.dse.progress import Progress, no_progress

if TYPE_CHECKING:
    import keras

    from rankline.src.compress.deploy.runtime import Runtime
    from rankline.src.compress.deploy.timing import Timing

SECONDS = 8.0
"""The longest that models are timed side by side."""


def is_here(device: Device) -> bool:
    """Whether a device is this machine, with the same version of its runtime, so that models can be timed on it."""
    return installed_version(device.runtime) == device.version and _runtime(device).machine() == device.machine


def check_machine(device: Device) -> None:
    """Raises UserError where a device isn't this machine, or its runtime isn't installed. Another version of the
    runtime is not looked at (see ``dse.devices.version.other_version``)."""
    if installed_version(device.runtime) is None:
        raise UserError(f"device '{device.name}' runs models by {device.runtime}, which isn't installed here")
    here = _runtime(device).machine()
    if here != device.machine:
        raise UserError(
            f"device '{device.name}' is another machine ({device.machine}), and this one is {here}; measure there, or "
            "leave --measure out"
        )


def latencies(models: Mapping[str, keras.Model], device: Device, progress: Progress = no_progress) -> dict[str, Timing]:
    """The times of a call of each model on a device of this machine, as ``call_times`` takes them."""
    return call_times(models, _runtime(device), device.threads, device.batch, progress, device.precision)


def call_times(
    models: Mapping[str, keras.Model],
    runtime: Runtime,
    threads: int = 1,
    batch: int = 1,
    progress: Progress = no_progress,
    precision: str = F32.name,
) -> dict[str, Timing]:
    """The times of a call of each model by a runtime on this machine, taken in turn.

    Raises UserError where the runtime is missing, can't convert a model (with the operation and its layer), or can't
    run it.
    """
    from rankline.src.compress.deploy.runtime import random_samples
    from rankline.src.compress.deploy.timing import timed

    with tempfile.TemporaryDirectory() as folder:
        calls = {}
        for number, (name, model) in enumerate(models.items()):
            progress(f"converting for {runtime.title}", number, len(models))
            loaded: Any = model
            if runtime.suffix:
                loaded = Path(folder) / f"{number}{runtime.suffix}"
                runtime.export(model, loaded, batch, precision, random_samples([model], batch))
            calls[name] = runtime.load(loaded, threads).call
        return timed(calls, SECONDS, progress)


def _runtime(device: Device) -> Runtime:
    from rankline.src.compress.deploy import runtimes

    return runtimes.get(device.runtime)
