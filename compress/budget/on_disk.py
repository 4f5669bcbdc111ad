"""Plans under a budget of bytes: written for the runtime, and made again if the file is too large."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from rankline.src.compress.budget.allocate import Allocation
from rankline.src.compress.budget.calibrated_model import CalibratedModel, Keep
from rankline.src.compress.deploy import runtimes
from rankline.src.compress.deploy.runtime import random_samples
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import BYTES
from rankline.src.dse.precision import F32

ROUNDS = 4
"""The most plans of one budget that are written."""

UNUSED = 0.01
"""How far below a budget a file may be before a plan that does less damage is looked for."""


def kept_on_disk(
    engine: CalibratedModel, allocation: Allocation, keep: Mapping[str, Keep], solver: str
) -> tuple[Allocation, dict[str, int]]:
    """The plan of a budget of bytes, and the limits of all budgets with which it was found.

    What a file takes beside the weights is only roughly known. A plan whose file is larger than the budget, or smaller
    by more than UNUSED, is made again with a budget that is corrected by the difference, at most ROUNDS times. Of those
    that keep the budget the one with the least damage is taken. A share is one of the original's file in single
    precision. Bytes don't depend on what the weights are. Raises UserError if none keeps it, with the smallest file.
    """
    limits = engine.limits(keep)
    whole = _bytes(engine, engine.model, F32.name) if keep[BYTES.name] <= 1 else engine.total.stored or 0
    asked = limits[BYTES.name] if keep[BYTES.name] > 1 else int(keep[BYTES.name] * whole)
    found: list[tuple[Allocation, int, dict[str, int]]] = []
    for _ in range(ROUNDS):
        size = _bytes(engine, _as_fitted(engine.made(allocation.plan)), engine.precision.name)
        found.append((allocation, size, limits))
        if (1 - UNUSED) * asked <= size <= asked or (size < asked and not allocation.damage):
            break
        predicted = BYTES.of(allocation.cost)
        limits = {**limits, BYTES.name: max(1, predicted + asked - size)}
        try:
            allocation = engine.within(limits, solver)
        except UserError:
            break
    kept = [one for one in found if one[1] <= asked]
    if not kept:
        least = min(size for _, size, _ in found)
        raise UserError(
            f"a budget of {asked:,} bytes can't be kept by a {runtimes.get(engine.precision.runtime).suffix} file at "
            f"precision {engine.precision.name}; the smallest that was found takes {least:,}"
        )
    allocation, _, limits = min(kept, key=lambda one: one[0].damage)
    return allocation, limits


def _bytes(engine: CalibratedModel, model: keras.Model, precision: str) -> int:
    """The size of a model's file."""
    runtime = runtimes.get(engine.precision.runtime)
    engine.progress(f"converting for {runtime.title}", 0, 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{runtime.suffix}"
        runtime.export(model, path, 1, precision, random_samples([model], 1))
        return path.stat().st_size


def _as_fitted(model: keras.Model) -> keras.Model:
    """A model whose weights differ as after a fit, in place: files keep equal ones, such as zeros, only once."""
    random = np.random.default_rng(0)
    for variable in model.variables:
        if not np.any(keras.ops.convert_to_numpy(variable)):
            variable.assign(np.abs(random.standard_normal(variable.shape)))
    return model
