"""Runs the searches of a hybrid in turn or in parallel processes.

Each process gets the model as a file, the data, and the location of the database. Threads would not do: TensorFlow's
seeds belong to the process, so that they would disturb each other's random numbers.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import keras
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from rankline.src.compress.data.arrays import each
from rankline.src.compress.data.memory import available_bytes
from rankline.src.compress.data.sets import Data
from rankline.src.compress.model.files import save_model
from rankline.src.compress.model.similarity import KEPT_BYTES, MAP_BYTES
from rankline.src.compress.runs.facts import key_of
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.runs.watch import OnPart
from rankline.src.compress.search.pair_search import PairSearch, part_of
from rankline.src.compress.search.worker import deaf_to_the_terminal, end_with
from rankline.src.compress.training.fine_tuning import DivergedError
from rankline.src.compress.training.losses import ScoreFunction
from rankline.src.compress.training.task import Task
from rankline.src.db.backends.location import sqlite_path
from rankline.src.db.database import open_database
from rankline.src.db.records.runs import INTERRUPTED, RUNNING, TrialRecord, finish_run
from rankline.src.dse.devices.device import Device
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.source import load_model

PROCESS_BYTES = 2**30
"""Memory of a process with TensorFlow, before it has a model or data."""


def searched(job: Job, pairs: Sequence[Settings], on_part: OnPart, jobs: int = 1) -> list[PairSearch]:
    """The searches with these settings, without those of which every trial diverges.

    ``on_part`` is called with each search's settings, its number (from 1) and their count, before its trials are
    reported.
    jobs: how many searches run in parallel, in processes of their own, as far as memory allows; the results are the
    same. Their trials are reported once a search has ended; each has its own copy of the callbacks, and the job's
    ``progress`` counts whole searches.
    Raises UserError if they can't run in parallel, and DivergedError if all of them diverge.
    """
    if jobs < 1:
        raise UserError(f"jobs must be at least 1; got {jobs}")
    if jobs > 1:
        _check_sendable(job)
    workers = min(jobs, len(pairs), _fitting(job))
    outcomes = _in_processes(job, pairs, workers) if workers > 1 else _in_turn(job, pairs)
    parts, diverged = [], DivergedError("")
    with closing(outcomes):
        for number, pair in enumerate(pairs, 1):
            on_part(pair, number, len(pairs))
            if workers > 1:
                job.progress("searches made", number - 1, len(pairs))
            outcome, trials = next(outcomes)
            for trial in trials:
                job.on_trial(trial)
            if isinstance(outcome, PairSearch):
                parts.append(outcome)
            else:
                diverged = outcome
    if not parts:
        raise diverged
    return parts


@dataclass(frozen=True)
class _Sent:
    """A job in a form that another process can receive; objects: those registered with Keras, to load the model."""

    model: str
    data: Data
    database: str
    network: str
    callbacks: Sequence[keras.callbacks.Callback]
    metric: ScoreFunction | None
    task: Task
    objects: Mapping[str, Any]
    device: Device | None


Outcome = tuple[PairSearch | DivergedError, list[TrialRecord]]
"""The result of a search, and the trials that it has not reported yet."""


def _in_turn(job: Job, pairs: Sequence[Settings]) -> Generator[Outcome, None, None]:
    for pair in pairs:
        yield part_of(job, pair), []


def _in_processes(job: Job, pairs: Sequence[Settings], workers: int) -> Generator[Outcome, None, None]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        save_model(job.model, path)
        objects = dict(keras.saving.get_custom_objects())
        location = sqlite_path(job.database.location)
        assert location is not None
        sent = _Sent(
            str(path), job.labelled, str(location.absolute()), job.network, job.callbacks, job.metric, job.task,
            objects, job.device,
        )  # fmt: skip
        try:
            # As many threads as in this process: sums depend on how they are split.
            threads, first = os.cpu_count(), {"initializer": end_with, "initargs": (os.getpid(),)}
            with joblib.parallel_config("loky", n_jobs=workers, inner_max_num_threads=threads, **first):
                work = joblib.Parallel(return_as="generator", batch_size=1)
                with deaf_to_the_terminal():  # the workers are started here
                    outcomes = work(joblib.delayed(_outcome)(sent, pair) for pair in pairs)
                yield from outcomes
        except BaseException as error:
            _end_workers()
            _close(job, pairs)
            if isinstance(error, TerminatedWorkerError):
                raise UserError("a search was killed, perhaps for lack of memory; try again with fewer jobs") from error
            raise
        _end_workers()


def _end_workers() -> None:
    get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)


def _outcome(sent: _Sent, settings: Settings) -> Outcome:
    """Makes one search, in a process of its own."""
    trials: list[TrialRecord] = []
    with keras.saving.custom_object_scope(sent.objects), closing(open_database(sent.database)) as database:
        model = load_model(sent.model)
        job = Job(
            model, sent.data, database, sent.network, trials.append, sent.callbacks, sent.metric, task=sent.task,
            device=sent.device,
        )  # fmt: skip
        return part_of(job, settings), trials


def _close(job: Job, pairs: Sequence[Settings]) -> None:
    """Records as interrupted the searches whose process was ended early."""
    keys = {key_of(job, pair) for pair in pairs}
    for row in job.database.runs():
        if row.status == RUNNING and row.settings.get("key") in keys:
            finish_run(job.database.engine, row.id, INTERRUPTED)


def _check_sendable(job: Job) -> None:
    """Raises UserError if the job can't be sent to another process."""
    if sqlite_path(job.database.location) is None:
        raise UserError("parallel searches need a database in an SQLite file, and this is not one; leave out jobs")
    for what, value in (("callbacks", job.callbacks), ("metric", job.metric), ("task", job.task)):
        try:
            cloudpickle.dumps(value)
        except Exception as error:  # whatever a foreign object raises
            raise UserError(
                f"the {what} cannot be sent to another process ({error}); leave out jobs, or the {what}"
            ) from error


def _fitting(job: Job) -> int:
    """How many searches fit into memory at once, at least one."""
    parts = (getattr(job.labelled, f"{side}_{part}") for side in "xy" for part in ("train", "validation", "test"))
    arrays = (array for part in parts for array in each(part))
    weights = sum(weight.size * 4 for weight in map(keras.ops.convert_to_numpy, job.model.weights))
    # The data is copied once for training; the weights are held by the original, two trials and Adam's moments.
    needed = PROCESS_BYTES + MAP_BYTES + KEPT_BYTES + sum(array.nbytes for array in arrays) + 8 * weights
    available = available_bytes()
    return 1 if available is None else max(1, available // needed)
