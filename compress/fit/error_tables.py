"""Stores the errors of all configurations of a trained model's layers in the database.

One cheap factorization for each layer and method gives the tables (``Decomposition.spectrum``); layers run in parallel
with one BLAS thread each, which is faster than many threads for one layer (see ``benchmarks/README.md``).
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from rankline.src.compress.fit.covariance import CalibrationWarning
from rankline.src.compress.fit.in_threads import in_threads
from rankline.src.compress.methods import DECOMPOSITIONS, get
from rankline.src.compress.methods.method import Decomposition
from rankline.src.compress.model.separable import split
from rankline.src.compress.model.stored_layers import LayersMissing, missing, paths_in
from rankline.src.compress.model.surgery import find_layer, refusal
from rankline.src.db.database import Database
from rankline.src.db.records.error_tables import OUTPUTS, WEIGHTS, store_errors, stored_digests
from rankline.src.db.records.networks import LayerRow
from rankline.src.dse.error_table import ErrorTable
from rankline.src.dse.errors import UserError
from rankline.src.dse.options import Options
from rankline.src.dse.progress import Progress, no_progress
from rankline.src.dse.space import Space

TABLES_VERSION = 2
"""Increased when tables are computed differently, so that stored ones are recomputed."""


@dataclass(frozen=True)
class MeasuredErrors:
    """One layer and method whose tables are stored.

    - ``of``: whether the errors are those of the ``weights`` or of the ``outputs``
    - ``shapes``: how many tensor shapes have a table
    - ``certainty``: of the tables
    - ``spread``: how far at most a true error lies from an estimate, relative to it (0 for other tables)
    - ``seconds``: the time it took
    """

    layer: str
    method: str
    of: str
    shapes: int
    certainty: str
    spread: float
    seconds: float


@dataclass(frozen=True)
class _Job:
    layer: str
    layer_id: int
    method: Decomposition
    options: Options
    kernel: NDArray[np.float32]
    covariance: NDArray[np.float64] | None

    @property
    def of(self) -> str:
        return WEIGHTS if self.covariance is None else OUTPUTS

    @cached_property
    def weights_digest(self) -> str:
        """Hash of all that the tables depend on, except the calibration data."""
        text = json.dumps([TABLES_VERSION, self.method.name, repr(self.options)])
        return _hash(text.encode(), self.kernel)

    @cached_property
    def digest(self) -> str:
        """Hash of all that the tables depend on; it starts with ``weights_digest``."""
        return self.weights_digest + ("" if self.covariance is None else _hash(b"+", self.covariance))

    def is_stale(self, stored: tuple[str, str], digest: str) -> bool:
        """Whether a stored table (method, kind) belongs to the same method but other weights."""
        return stored[0] == self.method.name and not digest.startswith(self.weights_digest)

    def run(self) -> tuple[_Job, dict[str | None, ErrorTable], float]:
        started = perf_counter()
        try:
            tables = self.method.spectrum(self.kernel, self.options, self.covariance)
        except UserError as error:
            raise UserError(f"layer '{self.layer}': {error}") from error
        return self, tables, perf_counter() - started


def store_spectra(
    model: keras.Model,
    database: Database,
    network: str | None = None,
    methods: Sequence[str] | None = None,
    covariances: Mapping[str, NDArray[np.float64]] | None = None,
    progress: Progress = no_progress,
) -> list[MeasuredErrors]:
    """Computes and stores the error tables of every explored space of a network, from the weights in ``model``.

    covariances: the second moment of a layer's input patches, by stored name (see ``compress.fit.covariance``);
    methods that can use it then measure the error of the layer's outputs. Stored tables of the same weights are kept;
    those of other weights are deleted. A layer whose outputs are all zero on the calibration data gets the errors of
    its weights, with a CalibrationWarning. Stored layers that the model lacks get none, with one LayersMissing for all.
    Returns the new tables. Raises UserError for an unknown method, a network none of whose layers is in the model, and
    weights that are not finite.
    """
    with threadpool_limits(1):
        jobs = _jobs(model, database, network, methods, covariances or {})
    known = {job.layer_id: stored_digests(database.engine, job.layer_id) for job in jobs}
    waiting = [job for job in jobs if known[job.layer_id].get((job.method.name, job.of)) != job.digest]
    found = []
    # The largest first, so that no long one is left to the end.
    waiting.sort(key=lambda job: -job.kernel.size)
    for _, (job, tables, seconds) in in_threads(job.run for job in waiting):
        stale = [stored[1] for stored, digest in known[job.layer_id].items() if job.is_stale(stored, digest)]
        store_errors(database.engine, job.layer_id, job.method.name, job.of, job.digest, tables, stale)
        found.append(_measured(job, tables, seconds))
        progress(f"{job.layer} by {job.method.name}", len(found), len(waiting))
    order = {(job.layer, job.method.name): place for place, job in enumerate(jobs)}
    return sorted(found, key=lambda one: order[one.layer, one.method])


def _jobs(
    model: keras.Model,
    database: Database,
    network: str | None,
    methods: Sequence[str] | None,
    covariances: Mapping[str, NDArray[np.float64]],
) -> list[_Job]:
    chosen = {get(name).name for name in methods or DECOMPOSITIONS}
    rows = {row.name: row for row in database.layers(network)}
    paths = paths_in(model, database.network(network), list(rows.values()))
    if sentence := missing(list(rows.values()), paths):
        warnings.warn(f"{sentence}; they get no errors", LayersMissing, stacklevel=3)
    model = split(model)
    kernels: dict[str, NDArray[np.float32]] = {}
    jobs = []
    for space in database.spaces(network):
        name = space.layer
        if space.method not in chosen or name not in paths or refusal(model, paths[name]):
            continue
        method = DECOMPOSITIONS[space.method]
        if name not in kernels:
            kernels[name] = _kernel(model, paths[name], rows[name])
        covariance = covariances.get(name) if method.uses_covariance else None
        options = Space.from_definition(json.loads(space.options)).options
        jobs.append(_Job(name, rows[name].id, method, options, kernels[name], covariance))
    if not jobs:
        raise UserError("none of these layers is explored by one of these methods; explore the model with them first")
    silent = {job.layer for job in jobs if job.covariance is not None and not _has_outputs(job.kernel, job.covariance)}
    for name in sorted(silent):
        warnings.warn(
            f"layer '{name}' outputs only zeros on the calibration samples; its errors are those of the weights",
            CalibrationWarning,
            stacklevel=3,
        )
    return [replace(job, covariance=None) if job.layer in silent else job for job in jobs]


def _kernel(model: keras.Model, path: str, row: LayerRow) -> NDArray[np.float32]:
    """The model's weights of a layer in the database. Raises UserError if their shape differs."""
    layer: Any = find_layer(model, path)
    kernel: NDArray[np.float32] = keras.ops.convert_to_numpy(layer.kernel)
    if kernel.shape != (*row.kernel, row.in_channels, row.out_channels):
        raise UserError(
            f"layer '{row.name}' has a kernel of shape {kernel.shape} in the model and another shape in the "
            "database; give the model that was explored"
        )
    return kernel


def _has_outputs(kernel: NDArray[np.float32], covariance: NDArray[np.float64]) -> bool:
    """Whether outputs are nonzero for inputs of this second moment; also True if all weights are zero."""
    matrix = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64)
    return not matrix.any() or not (matrix * (covariance @ matrix)).sum() <= 0


def _hash(prefix: bytes, array: NDArray[Any]) -> str:
    found = hashlib.sha256(prefix)
    found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _measured(job: _Job, tables: Mapping[str | None, ErrorTable], seconds: float) -> MeasuredErrors:
    certainty = " and ".join(sorted({table.certainty for table in tables.values()})) or "unknown"
    spread = max((table.spread for table in tables.values()), default=0.0)
    return MeasuredErrors(job.layer, job.method.name, job.of, len(tables), certainty, spread, seconds)
