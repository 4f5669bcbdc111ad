"""The searches of a hybrid one after the other, or several at a time.

A search of its own process gets the model as a file, the data, and the place of the database, which is all that they
share: TensorFlow's seeds are a process's, so that threads would disturb each other's numbers.
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

from rankline.src.compress.data.memory import available_bytes
from rankline.src.compress.data.sets import Data
from rankline.src.compress.model.files import save_model
from rankline.src.compress.model.similarity import KEPT_BYTES, MAP_BYTES
from rankline.src.compress.runs.facts import key_of
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.runs.watch import OnPart
from rankline.src.compress.search.pair_search import PairSearch, part_of
from rankline.src.compress.training.fine_tuning import DivergedError, ScoreFunction
from rankline.src.db.backends.location import sqlite_path
from rankline.src.db.database import open_database
from rankline.src.db.records.runs import INTERRUPTED, RUNNING, TrialRecord, finish_run
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.source import load_model

PROCESS_BYTES = 2**30
"""Of a process with TensorFlow, before it has a model or data."""


def searched(job: Job, pairs: Sequence[Settings], on_part: OnPart, jobs: int = 1) -> list[PairSearch]:
    """The searches with these settings, those left out that only diverge.

    ``on_part`` is told each one's settings, its number from 1 and how many there are, before its trials are told.
    jobs: how many searches run side by side, in processes of their own, as far as memory allows; their trials are
    told when they have ended, and what comes of them is the same. Each has its own copy of the callbacks; none has the
    job's ``progress``, which is told of whole searches.
    Raises UserError where they can't run side by side, and DivergedError where every one diverges.
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
    """A job as another process can have it; objects: what is registered with Keras, for the model to be loaded."""

    model: str
    data: Data
    database: str
    network: str
    callbacks: Sequence[keras.callbacks.Callback]
    metric: ScoreFunction | None
    objects: Mapping[str, Any]


Outcome = tuple[PairSearch | DivergedError, list[TrialRecord]]
"""What has come of a search, and the trials that it hasn't told."""


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
        sent = _Sent(str(path), job.labelled, str(location.absolute()), job.network, job.callbacks, job.metric, objects)
        try:
            # As many threads as here: sums of numbers depend on how they are split.
            with joblib.parallel_config("loky", n_jobs=workers, inner_max_num_threads=os.cpu_count()):
                work = joblib.Parallel(return_as="generator", batch_size=1)
                yield from work(joblib.delayed(_outcome)(sent, pair) for pair in pairs)
        except BaseException as error:
            _end_workers()
            _close(job, pairs)
            if isinstance(error, TerminatedWorkerError):
                raise UserError("a search was killed, perhaps for want of memory; ask again with fewer jobs") from error
            raise
        _end_workers()


def _end_workers() -> None:
    get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _outcome(sent: _Sent, settings: Settings) -> Outcome:
    """In a process of its own."""
    told: list[TrialRecord] = []
    with keras.saving.custom_object_scope(sent.objects), closing(open_database(sent.database)) as database:
        model = load_model(sent.model)
        job = Job(model, sent.data, database, sent.network, told.append, sent.callbacks, sent.metric)
        return part_of(job, settings), told


def _close(job: Job, pairs: Sequence[Settings]) -> None:
    """Records that searches whose process was ended before them were interrupted."""
    keys = {key_of(job, pair) for pair in pairs}
    for row in job.database.runs():
        if row.status == RUNNING and row.settings.get("key") in keys:
            finish_run(job.database.engine, row.id, INTERRUPTED)


def _check_sendable(job: Job) -> None:
    """Raises UserError where another process could not have what the job is of."""
    if sqlite_path(job.database.location) is None:
        raise UserError("searches run side by side on a database in an SQLite file; this one is none: leave out jobs")
    for what, value in (("callbacks", job.callbacks), ("metric", job.metric)):
        try:
            cloudpickle.dumps(value)
        except Exception as error:  # whatever a foreign object raises
            raise UserError(
                f"the {what} cannot be sent to another process ({error}); leave out jobs, or the {what}"
            ) from error


def _fitting(job: Job) -> int:
    """How many searches memory has room for at once, at least one."""
    arrays = (value for value in vars(job.labelled).values() if hasattr(value, "nbytes"))
    weights = sum(weight.size * 4 for weight in map(keras.ops.convert_to_numpy, job.model.weights))
    # The data is copied once to train on; of the model there are the original, two trials, and Adam's moments.
    needed = PROCESS_BYTES + MAP_BYTES + KEPT_BYTES + sum(array.nbytes for array in arrays) + 8 * weights
    available = available_bytes()
    return 1 if available is None else max(1, available // needed)
