"""The errors of all configurations of a trained model's layers, put into the database.

One cheap factorization a layer and method gives the tables (``Decomposition.spectrum``); layers go side by side
with one BLAS thread each, which is faster than many threads for one (see ``benchmarks/README.md``).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import joblib
import keras
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from compress.methods import DECOMPOSITIONS
from compress.methods.method import Decomposition
from compress.surgery import find_layer
from db.database import Database
from db.errors import OUTPUTS, WEIGHTS, store_errors, stored_digests
from dse.errors import UserError
from dse.options import Options
from dse.space import Space
from dse.spectrum import ErrorTable

TABLES_VERSION = 1
"""Raised when tables are made in another way, so that stored ones are made anew."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Looked:
    """One layer and method whose tables are stored. of: ``weights`` or ``outputs``; certainties: of its tables.

    spread: of estimates, the largest relative deviation seen (0 for the rest); seconds: 0 where they were there.
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

    def digest(self) -> str:
        """Hash of all that the tables depend on."""
        found = hashlib.sha256(json.dumps([TABLES_VERSION, self.method.name, repr(self.options)]).encode())
        for array in (self.kernel, self.covariance):
            if array is not None:
                found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()

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
    progress: Progress = lambda label, done, total: None,
) -> list[Looked]:
    """Makes and stores the error tables of every explored space of a network that ``model`` is the weights of.

    covariances: by layer, the second moment of its input patches (see ``compress.covariance``): the methods that can
    then tell the error of the layer's outputs. Tables of the same weights that are there already are not made again.
    Raises UserError for a network whose layers aren't the model's, and for weights that are not finite.
    """
    jobs = _jobs(model, database, network, methods, covariances or {})
    known = {job.layer_id: stored_digests(database.engine, job.layer_id) for job in jobs}
    waiting = [job for job in jobs if known[job.layer_id].get((job.method.name, job.of)) != job.digest()]
    found = []
    with threadpool_limits(1):
        # The largest first, so that none is left alone at the end.
        waiting.sort(key=lambda job: -job.kernel.size)
        work = joblib.Parallel(n_jobs=os.cpu_count() or 1, prefer="threads", return_as="generator_unordered")
        for job, tables, seconds in work(joblib.delayed(job.run)() for job in waiting):
            store_errors(database.engine, job.layer_id, job.method.name, job.of, job.digest(), tables)
            found.append(_looked(job, tables, seconds))
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
    rows = {row["name"]: row for row in database.layers(network)}
    jobs = []
    for space in database.spaces(network):
        if space["method"] not in DECOMPOSITIONS or (methods and space["method"] not in methods):
            continue
        row, layer = rows[space["layer"]], find_layer(model, space["layer"])
        if layer is None or not hasattr(layer, "kernel"):
            continue
        kernel = keras.ops.convert_to_numpy(layer.kernel)
        if kernel.shape != (*json.loads(row["kernel"]), row["in_channels"], row["out_channels"]):
            raise UserError(
                f"layer '{space['layer']}' has a kernel of shape {kernel.shape} in the model and another in the "
                "database; give the model that was explored"
            )
        method = DECOMPOSITIONS[space["method"]]
        covariance = covariances.get(space["layer"]) if method.uses_covariance else None
        options = Space.from_definition(json.loads(space["options"])).options
        jobs.append(_Job(space["layer"], row["id"], method, options, kernel, covariance))
    if not jobs:
        raise UserError("no layer of the network is both in the model and explored; explore the model first")
    return jobs


def _looked(job: _Job, tables: Mapping[str | None, ErrorTable], seconds: float) -> Looked:
    certainty = " and ".join(sorted({table.certainty for table in tables.values()})) or "unknown"
    spread = max((table.spread for table in tables.values()), default=0.0)
    return Looked(job.layer, job.method.name, job.of, len(tables), certainty, spread, seconds)
