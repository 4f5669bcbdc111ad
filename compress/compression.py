"""The main job: explore a model, compress it by a strategy, and deliver the result."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import keras

from rankline.src.compress.approach import Approach
from rankline.src.compress.data.arrays import count_of, each
from rankline.src.compress.data.sets import Data
from rankline.src.compress.model.files import check_saving
from rankline.src.compress.runs.card import Card
from rankline.src.compress.runs.checkpoints import checkpoints_of
from rankline.src.compress.runs.deliver import Delivered, Delivery
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.latency import PlanLatency
from rankline.src.compress.runs.recorder import Recorder
from rankline.src.compress.runs.run import Run
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.runs.timed import timed
from rankline.src.compress.runs.watch import Watch
from rankline.src.compress.search.search import search
from rankline.src.db.records.measure import ACCURACY, Measure
from rankline.src.db.records.runs import SUCCESS, TrialRecord, recorded_end
from rankline.src.dse.plan import Plan


@dataclass(frozen=True)
class Compression:
    """A finished compression: the original model, the data, the run with its compressed model, the files, and what the
    models are judged by."""

    original: keras.Model
    data: Data
    run: Run
    delivered: Delivered
    measure: Measure = ACCURACY

    @property
    def model(self) -> keras.Model:
        """The compressed model."""
        return self.run.model

    @property
    def plan(self) -> Plan:
        """Each factorized layer's method and ranks."""
        return self.run.plan

    @property
    def latency(self) -> PlanLatency | None:
        """What the compressed model takes on the run's device, if it has one."""
        return PlanLatency.from_record(self.run.chosen.made_by)

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """Every trial as recorded, the original first."""
        return self.run.trials


def compressed(
    job: Job, approach: Approach, settings: Settings, out: Path | None, watch: Watch, resume: int | None = None
) -> Compression:
    """Explores what the database lacks, runs the strategy or resumes a run, and delivers the result.

    out: the .keras file to write; None keeps the model in memory.
    """
    data, database = job.labelled, job.database
    check_saving(job.model, each(data.x_test), out.parent if out else None)
    database.explore_missing(job.model, job.network, approach.needed(settings), watch.progress)
    run = approach.run(job, settings, watch.on_part) if resume is None else search(job, settings, resume)
    with recorded_end(database.engine, run.id):
        run = timed(job, run)
    with nullcontext(str(out.parent)) if out else tempfile.TemporaryDirectory() as folder:
        delivered = _delivered(job, run, out or Path(folder) / "model.keras")
    if run.status == SUCCESS:
        for done in (run.id, *run.parts):
            if kept := checkpoints_of(database.location, done):
                kept.remove()
    return Compression(job.model, data, run, delivered, job.measure)


def _delivered(job: Job, run: Run, path: Path) -> Delivered:
    """Delivers a run's model; if that fails, the run is recorded as ``failed``."""
    data = job.labelled
    with recorded_end(job.database.engine, run.id):
        delivery = Delivery(Recorder(job, run.id), each(data.x_test))
        made = f"Made by Rankline in run {run.id}, which ended with: {run.status}. "
        made += f"{len(run.trials) - 1} models were tried."
        on = (
            f"Data: {data.name}, {count_of(data.x_train):,} samples to train, {count_of(data.x_validation):,} to "
            f"choose, {count_of(data.x_test):,} to report on; the last were used for nothing else."
        )
        notes = [on] if job.measure.is_accuracy else [on, f"The models were {job.task.told}."]
        if (latency := PlanLatency.from_record(run.chosen.made_by)) is not None:
            notes.append(f"{latency.told}.")
        card = Card(job.network, made, run.original, run.chosen, notes)
        delivered = delivery.deliver(run.model, run.plan, run.chosen.cost, path, card)
        delivery.close(run.status, delivered)
    return delivered
