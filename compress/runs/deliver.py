"""Delivering a run's model: its file, its plan, a page about it, and the scores of the reloaded file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras

from rankline.src.compress.data.arrays import Array
from rankline.src.compress.layers.own import own_layers
from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.model.files import saved_and_loaded
from rankline.src.compress.runs.card import Card
from rankline.src.compress.runs.recorder import Recorder
from rankline.src.compress.training.fine_tuning import Score, evaluate
from rankline.src.db.records.measure import record_test
from rankline.src.db.records.runs import finish_run
from rankline.src.dse.cost import Cost
from rankline.src.dse.plan import Plan, write_plan
from rankline.src.dse.whole_file import write_text


@dataclass(frozen=True)
class Delivered:
    """The written model file (None: the model stays in memory), the scores of the reloaded model and the original on
    the test part, if there is one, and the paths of the layers that plain Keras lacks."""

    model: Path | None
    test: Score | None
    original_test: Score | None
    bytes_on_disk: int | None
    own_layers: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The model, its plan and the page about it, in one folder; empty if nothing was written."""
        path = self.model
        return () if path is None else (path, path.with_suffix(".plan.json"), path.with_suffix(".md"))

    @property
    def accuracy(self) -> float | None:
        """The reloaded model's accuracy on the test part, a fraction."""
        return None if self.test is None else self.test.accuracy

    @property
    def original_accuracy(self) -> float | None:
        """The original's accuracy on the test part."""
        return None if self.original_test is None else self.original_test.accuracy


class Delivery:
    """Delivers one run's models and closes its record. samples: inputs on which a file is compared with the model in
    memory."""

    def __init__(self, recorder: Recorder, samples: Sequence[Array]) -> None:
        self.recorder = recorder
        self.samples = samples

    @cached_property
    def original_test(self) -> Score | None:
        """The score of the original on the test part."""
        return self._tested(self.recorder.job.model)

    def deliver(self, model: keras.Model, plan: Plan, cost: Cost, path: Path | None, card: Card) -> Delivered:
        """Writes a model to ``path``, its plan and card next to it, and scores the reloaded file.

        cost: the recorded cost. Raises UserError if the file can't be written, RuntimeError if its outputs differ from
        those of the model in memory, or its cost from the recorded one.
        """
        own = tuple(own_layers(model))
        if path is None:
            return Delivered(None, self._tested(model), self.original_test, None, own)
        self.recorder.progress("writing", 0, 0)
        loaded = saved_and_loaded(model, path, self.samples)
        if (counted := cost_of(loaded)) != cost:
            raise RuntimeError(f"{path} has {counted.params:,} params and {counted.flops:,} FLOPs, not those on record")
        delivered = Delivered(path, self._tested(loaded), self.original_test, path.stat().st_size, own)
        write_plan(plan, path.with_suffix(".plan.json"))
        text = card.text(model, plan, delivered.test, delivered.original_test, self.recorder.job.measure)
        write_text(path.with_suffix(".md"), text)
        return delivered

    def close(self, status: str, delivered: Delivered | None) -> None:
        """Closes the run's record with the scores of the delivered model (None: several models, so no score)."""
        test, before = None if delivered is None else delivered.test, self.original_test
        job = self.recorder.job
        if not job.measure.is_accuracy and before is not None:
            record_test(job.database.engine, self.recorder.run, None if test is None else test.metric, before.metric)
        finish_run(
            job.database.engine,
            self.recorder.run,
            status,
            None if test is None else test.accuracy,
            None if test is None else test.loss,
            None if before is None else before.accuracy,
        )

    def _tested(self, model: keras.Model) -> Score | None:
        job = self.recorder.job
        if job.data is None:
            return None
        own = None if job.task.classifies else job.metric
        return evaluate(model, job.data.x_test, job.data.y_test, metric=own, task=job.task)
