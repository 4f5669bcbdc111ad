"""Handing over what a run made: its file, its plan, a page about it, and the figures of the file as it loads again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import keras

from rankline.src.compress.data.sets import Array
from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.model.files import saved_and_loaded
from rankline.src.compress.runs.card import Card
from rankline.src.compress.runs.recorder import Recorder
from rankline.src.compress.training.fine_tuning import Score, evaluate
from rankline.src.db.records.runs import finish_run
from rankline.src.dse.cost import Cost
from rankline.src.dse.plan import Plan, write_plan
from rankline.src.dse.whole_file import write_text


@dataclass(frozen=True)
class Delivered:
    """The written files (None: the model stays in memory), and the scores of the reloaded model and of the original on
    the test part, where there is one."""

    model: Path | None
    test: Score | None
    original_test: Score | None
    bytes_on_disk: int | None

    @property
    def files(self) -> tuple[Path, ...]:
        """The model, its plan, and the page about it, next to each other; none where nothing was written."""
        path = self.model
        return () if path is None else (path, path.with_suffix(".plan.json"), path.with_suffix(".md"))

    @property
    def accuracy(self) -> float | None:
        """The reloaded model's, on the test part."""
        return None if self.test is None else self.test.accuracy

    @property
    def original_accuracy(self) -> float | None:
        """The original's."""
        return None if self.original_test is None else self.original_test.accuracy


class Delivery:
    """The delivery of one run's models, and the end of its record. samples: on which a file is compared with the model
    in memory."""

    def __init__(self, recorder: Recorder, samples: Sequence[Array]) -> None:
        self.recorder = recorder
        self.samples = samples

    @cached_property
    def original_test(self) -> Score | None:
        """The score of the original on the test part."""
        return self._tested(self.recorder.job.model)

    def deliver(self, model: keras.Model, plan: Plan, cost: Cost, path: Path | None, card: Card) -> Delivered:
        """Writes a model to ``path``, its plan and the card next to it, and takes the score of the reloaded file.

        cost: what the file must have. Raises UserError where it can't be written, RuntimeError where it gives other
        outputs than the model in memory, or has another cost.
        """
        if path is None:
            return Delivered(None, self._tested(model), self.original_test, None)
        self.recorder.progress("writing", 0, 0)
        loaded = saved_and_loaded(model, path, self.samples)
        if (counted := cost_of(loaded)) != cost:
            raise RuntimeError(f"{path} has {counted.params:,} params and {counted.flops:,} FLOPs, not those on record")
        delivered = Delivered(path, self._tested(loaded), self.original_test, path.stat().st_size)
        write_plan(plan, path.with_suffix(".plan.json"))
        write_text(path.with_suffix(".md"), card.text(model, plan, delivered.test, delivered.original_test))
        return delivered

    def close(self, status: str, delivered: Delivered | None) -> None:
        """Ends the run's record, with the scores of the model that it hands over (None: of several, none)."""
        test, before = None if delivered is None else delivered.test, self.original_test
        finish_run(
            self.recorder.job.database.engine,
            self.recorder.run,
            status,
            None if test is None else test.accuracy,
            None if test is None else test.loss,
            None if before is None else before.accuracy,
        )

    def _tested(self, model: keras.Model) -> Score | None:
        data = self.recorder.job.data
        return None if data is None else evaluate(model, data.x_test, data.y_test)
