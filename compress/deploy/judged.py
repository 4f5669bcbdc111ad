"""What a file is scored on: the test part of data, and the task that tells how."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from rankline.src.compress.data.arrays import Array, each
from rankline.src.compress.data.classifier import shaped
from rankline.src.compress.data.given import held_by
from rankline.src.compress.data.sets import Data, Named, class_labels, labelled, tell
from rankline.src.compress.data.sources import held_in
from rankline.src.compress.data.takes import Slot, Takes
from rankline.src.compress.deploy.batches import in_batches
from rankline.src.compress.deploy.runtime import Session, random_input
from rankline.src.compress.training.judging import Pair, score_of
from rankline.src.compress.training.labelled import judged_for
from rankline.src.compress.training.losses import metric_of
from rankline.src.compress.training.settings import AS_COMPILED, Aim
from rankline.src.compress.training.task import Scored, Task
from rankline.src.dse.errors import UserError
from rankline.src.dse.progress import Progress, no_progress


@dataclass(frozen=True, eq=False)
class Judged:
    """Samples with labels, an array for each input and output, and what they are judged by. preparation: how the inputs
    were scaled."""

    name: str
    x: list[Array]
    y: tuple[Array, ...]
    task: Task
    preparation: Mapping[str, Any] = field(default_factory=dict)

    def some(self, most: int | None) -> Judged:
        """At most so many of the samples, drawn once and for all."""
        count = len(self.y[0])
        if most is None or most >= count:
            return self
        index = np.sort(np.random.default_rng(0).choice(count, most, replace=False))
        return Judged(
            self.name, [one[index] for one in self.x], tuple(one[index] for one in self.y), self.task, self.preparation
        )

    def score(
        self,
        run: Callable[[Sequence[Array]], Sequence[Array]],
        batch: int,
        name: str,
        progress: Progress = no_progress,
    ) -> float:
        """What outputs are worth. run: gives them for ``batch`` samples; name: of what makes them.

        Raises DivergedError where they are NaN or infinite.
        """
        return score_of(self.task, self._pairs(run, batch, progress), name)

    def _pairs(
        self, run: Callable[[Sequence[Array]], Sequence[Array]], batch: int, progress: Progress
    ) -> Iterator[Pair]:
        """Labels and outputs of each batch; what only fills the last one is left out."""
        for number, given in enumerate(in_batches(self.x, batch)):
            start = number * batch
            progress("samples scored", start, len(self.y[0]))
            labels = [one[start : start + batch] for one in self.y]
            yield labels, [one[: len(labels[0])] for one in run(given)]


def judged_in(data: Data, task: Task) -> Judged:
    """The test part of a model's data."""
    return Judged(data.name, list(each(data.x_test)), each(data.y_test), task, data.preparation)


def judged_by_model(model: keras.Model, given: Any, source: str | None = None, aim: Aim = AS_COMPILED) -> Judged:
    """The test part of data for a Keras model; see ``judged_for``. Raises UserError."""
    return judged_in(*judged_for(model, given, source, aim))


def judged_by_file(path: Path, session: Session, given: Any, score: Any = None) -> Judged:
    """The test part of data for a file of which nothing is known but what it takes and gives.

    - ``given``: data as ``rankline.measure`` takes it
    - ``score``: by the name of Keras's or a function; by default, outputs are those of a classifier

    Raises UserError for data that doesn't fit, and where no score follows from labels and outputs.
    """
    outputs = session.run([random_input(shape, np.float32) for shape in session.inputs.values()])
    inputs = tuple(Slot(name, shape[1:]) for name, shape in session.inputs.items())
    ends = tuple(Slot(f"output_{j}", one.shape[1:]) for j, one in enumerate(outputs))
    takes = Takes(inputs, ends, path.name)
    named = given if isinstance(given, Named) else Named(given if isinstance(given, str) else "arrays")
    held = held_in(named.source, takes) if isinstance(given, str | Named) else held_by(given, named.source, takes)
    tell(held)
    if held.lacks:
        raise UserError(held.lacks)
    task = _task(takes, outputs, held.first.y, score)
    data = labelled(held, named.scaling, named.validation, named.split_seed, task.targets)
    wanted = [slot.shape for slot in inputs]
    x = shaped(each(data.x_test), wanted, data.name, path.name)
    _check_classes(data, task, outputs, path.name)
    return Judged(data.name, x, each(data.y_test), task, {**asdict(named.scaling), **data.preparation})


def _task(takes: Takes, outputs: Sequence[Array], y: Sequence[Array], score: Any) -> Task:
    if score is not None:
        output, score = _named_output(takes, score)
        metric = metric_of(score, takes.outputs[output].shape, y[output], "")
        return Task(scored=Scored(output, metric), classifies=False, takes=takes)
    if _classifies(takes, outputs, y):
        return Task(takes=takes)
    shapes = ", ".join(str(slot.shape) for slot in takes.outputs)
    raise UserError(
        f"{takes.model} gives {shapes}, which with these labels are no classes; tell what it is judged by, such as "
        "--score mean_absolute_error"
    )


def _named_output(takes: Takes, score: Any) -> tuple[int, Any]:
    """The number of the output that ``OUTPUT=NAME`` scores, and by what."""
    names = [slot.name for slot in takes.outputs]
    if len(names) == 1:
        return 0, score
    name, _, rest = str(score).partition("=")
    if name not in names:
        raise UserError(
            f"{takes.model} has {len(names)} outputs; give --score OUTPUT=NAME, with one of {', '.join(names)}"
        )
    return names.index(name), rest


def _classifies(takes: Takes, outputs: Sequence[Array], y: Sequence[Array]) -> bool:
    if len(outputs) != 1 or len(takes.outputs[0].shape) != 1:
        return False
    try:
        labels = class_labels(tuple(y), "")
    except UserError:
        return False
    if outputs[0].shape[-1] > 1:
        return True
    return bool(labels.max() <= 1 and outputs[0].min() >= 0 and outputs[0].max() <= 1)


def _check_classes(data: Data, task: Task, outputs: Sequence[Array], name: str) -> None:
    classes = max(2, outputs[0].shape[-1])
    top = int(each(data.y_test)[0].max()) if task.classifies else 0
    if task.classifies and top >= classes:
        raise UserError(
            f"data '{data.name}' has labels up to {top}; {name} has {classes} classes, from 0 to {classes - 1}"
        )
