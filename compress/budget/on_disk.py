"""Plans under a budget of bytes: written for the runtime, and made again if the file is too large."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from rankline.src.compress.budget.allocate import Allocation
from rankline.src.compress.budget.calibrated_model import CalibratedModel, Keep
from rankline.src.compress.deploy import runtimes
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import BYTES
from rankline.src.dse.precision import F32

ROUNDS = 4
"""The most plans of one budget that are written."""

UNUSED = 0.01
"""How far below a budget a file may be before a plan that does less damage is looked for."""


SAMPLES = 8
"""From which ranges are taken that only the size of a file is asked for."""


class OnDisk:
    """The files of a network's plans, at the engine's precision for its runtime."""

    def __init__(self, engine: CalibratedModel) -> None:
        self.engine = engine
        self.runtime = runtimes.get(engine.precision.runtime)

    def check(self) -> None:
        """Raises UserError where the runtime is missing or can't convert the original: before the statistics, which
        take long."""
        self.runtime.check(self.engine.precision.name)
        self._bytes(self.engine.model, self.engine.precision.name)

    @cached_property
    def original(self) -> int:
        """The bytes of the original's file in single precision."""
        return self._bytes(self.engine.model, F32.name)

    def asked(self, keep: Mapping[str, Keep]) -> int:
        """The bytes that a budget leaves: a share is one of the original's file."""
        share = keep[BYTES.name]
        return int(share) if share > 1 else int(share * self.original)

    def size(self, allocation: Allocation) -> int:
        """The bytes of the file of a plan, which don't depend on what the weights are."""
        return self._bytes(_as_fitted(self.engine.made(allocation.plan)), self.engine.precision.name)

    def kept(self, allocation: Allocation, keep: Mapping[str, Keep], solver: str) -> tuple[Allocation, dict[str, int]]:
        """The plan of a budget of bytes, and the limits of all budgets with which it was found.

        What a file takes beside the weights is only roughly known. A plan whose file is larger than the budget, or
        smaller by more than UNUSED, is made again with a budget that is corrected by the difference, at most ROUNDS
        times. Of those that keep the budget the one with the least damage is taken. Raises UserError if none keeps it,
        with the smallest file.
        """
        limits, asked = self.engine.limits(keep), self.asked(keep)
        found: list[tuple[Allocation, int, dict[str, int]]] = []
        while True:
            size = self.size(allocation)
            found.append((allocation, size, limits))
            if len(found) == ROUNDS or (1 - UNUSED) * asked <= size <= asked:
                break
            limits = {**limits, BYTES.name: max(1, BYTES.of(allocation.cost) + asked - size)}
            try:
                new = self.engine.within(limits, solver)
            except UserError:  # the smallest budget that is possible was passed
                break
            if new.plan == allocation.plan:
                break
            allocation = new
        kept = [one for one in found if one[1] <= asked]
        if not kept:
            least = min(size for _, size, _ in found)
            raise UserError(
                f"a budget of {asked:,} bytes can't be kept by a {self.runtime.suffix} file at precision "
                f"{self.engine.precision.name}; the smallest that was found takes {least:,}"
            )
        allocation, _, limits = min(kept, key=lambda one: one[0].damage)
        return allocation, limits

    def _bytes(self, model: keras.Model, precision: str) -> int:
        self.engine.progress(f"converting for {self.runtime.title}", 0, 0)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"model{self.runtime.suffix}"
            self.runtime.export(model, path, 1, precision, [one[:SAMPLES] for one in self.engine.samples])
            return path.stat().st_size


def _as_fitted(model: keras.Model) -> keras.Model:
    """A model whose weights differ as after a fit, in place: files keep equal ones, such as zeros, only once."""
    random = np.random.default_rng(0)
    for variable in model.variables:
        if not np.any(keras.ops.convert_to_numpy(variable)):
            variable.assign(np.abs(random.standard_normal(variable.shape)))
    return model
