"""Data for training, selection and reporting, in three parts, from arrays or by name."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from rankline.src.compress.data.arrays import Array, Arrays, count_of, each, joined, rows_of
from rankline.src.compress.data.given import Held, held_by
from rankline.src.compress.data.names import TEST, TRAIN, VALIDATION
from rankline.src.compress.data.scaling import Scaling
from rankline.src.compress.data.sources import held_in
from rankline.src.compress.data.takes import Takes
from rankline.src.dse.errors import UserError

TEST_SHARE = 0.15
"""The share of the training part that becomes the test part where there is none."""

MOST_CLASSES = 2**31
"""Labels from here on are no numbers of classes."""


class DataWarning(UserWarning):
    """Something about the data that people should know: what is ignored, or how it was split."""


@dataclass(frozen=True, eq=False)
class Data:
    """Inputs (n, ...) and labels in three parts; a tuple of arrays where a model has several inputs or outputs.

    - ``x_train``, ``y_train``: to train on
    - ``x_validation``, ``y_validation``: to choose by, held out from training
    - ``x_test``, ``y_test``: for the reported figures
    - ``preparation``: how the inputs were scaled and split, for the record

    Labels of classes are integers (n,); others are as the model's loss takes them.
    """

    name: str
    x_train: Arrays
    y_train: Arrays
    x_validation: Arrays
    y_validation: Arrays
    x_test: Arrays
    y_test: Arrays
    preparation: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Named:
    """Data by its name, which is opened once the model is known that takes it.

    validation, split_seed: the fraction and the seed of a validation part that is split off.
    """

    source: str
    scaling: Scaling = field(default_factory=Scaling)
    validation: float = 0.15
    split_seed: int = 0


@dataclass(frozen=True)
class Targets:
    """How labels become what a model is trained on.

    made: from the labels of a part and the name of the data, raises UserError; are_classes: whether parts are drawn by
    class.
    """

    made: Callable[[tuple[Array, ...], str], Arrays]
    are_classes: bool = False


def load(source: str, scaling: Scaling | None = None, validation: float = 0.15, split_seed: int = 0) -> Data:
    """The data named ``source``, for a classifier with one input; see ``data_from``.

    Raises UserError for an unknown source and for arrays that don't fit together.
    """
    return labelled(held_in(source, Takes()), scaling, validation, split_seed)


def data_from(
    arrays: Sequence[Any],
    name: str = "arrays",
    scaling: Scaling | None = None,
    validation: float = 0.15,
    split_seed: int = 0,
) -> Data:
    """Data from (x_train, y_train, x_test, y_test), optionally with (x_validation, y_validation) in between.

    Also from ``tf.data`` sets, (train, test) or (train, validation, test), each of (x, y): see ``arrays_of``.
    Without a validation part, a stratified fraction ``validation`` of the training part is split off. It depends on
    ``split_seed`` alone, so that runs with different seeds are judged on the same samples.
    Raises UserError if the arrays don't fit together.
    """
    return labelled(held_by(arrays, name, Takes()), scaling, validation, split_seed)


def labelled(
    held: Held,
    scaling: Scaling | None = None,
    validation: float = 0.15,
    split_seed: int = 0,
    targets: Targets | None = None,
) -> Data:
    """What a source holds in three parts, scaled and with the targets of a task, by default the numbers of classes.

    A test part that it lacks is TEST_SHARE of the training part, and then a validation part the fraction
    ``validation``; both are drawn with ``split_seed``. Raises UserError if something doesn't fit together.
    """
    if held.lacks:
        raise UserError(held.lacks)
    targets = targets or CLASSES
    scaling = scaling or Scaling()
    preparation = {**asdict(scaling), **held.facts}
    parts = {
        part if part in (VALIDATION, TEST) else TRAIN: (_scaled(one.x, one.y, part, held.name, scaling), one.y)
        for part, one in held.parts.items()
    }
    checked: dict[str, tuple[Arrays, Arrays]] = {
        part: (x, targets.made(y, held.name)) for part, (x, y) in parts.items()
    }
    _check_shapes([x for x, _ in checked.values()], held.name)
    for part, share in ((TEST, TEST_SHARE), (VALIDATION, validation)):
        if part not in checked:
            checked |= _split(*checked[TRAIN], part, share, split_seed, held.name, targets.are_classes)
            preparation |= {part: share, "split_seed": split_seed}
            if part == TEST:
                told = (
                    f"{held.name}: no test part, so {share:.0%} of the samples are kept apart for it, by --split-seed"
                )
                warnings.warn(told, DataWarning, stacklevel=3)
    return Data(held.name, *checked[TRAIN], *checked[VALIDATION], *checked[TEST], preparation)


def inputs_of(held: Held, scaling: Scaling | None = None) -> tuple[Array, ...]:
    """The inputs to calibrate on, without the labels; those that need no scaling keep their dtype.

    Raises UserError if there are none, and for numbers that are not finite.
    """
    x, scaling = held.first.x, scaling or Scaling()
    if not all(map(len, x)):
        raise UserError(f"{held.name} has no calibration samples; give some hundreds of the model's inputs")
    _check_one_input(x, held.name, scaling)
    scaled = x if scaling == Scaling() else tuple(map(scaling.apply, x))
    if not all(np.isfinite(one).all() for one in scaled):
        raise UserError(f"{held.name}: calibration samples must be finite numbers")
    return scaled


def tell(held: Held) -> None:
    """Issues a DataWarning for each thing that people should know of how data was read."""
    for note in held.notes:
        warnings.warn(note, DataWarning, stacklevel=3)


def class_labels(y: tuple[Array, ...], name: str) -> Array:
    """Integer labels (n,), from integers, whole floats, (n, 1), or one-hot rows. Raises UserError for others."""
    (given,) = y
    if not given.size:
        raise UserError(f"data '{name}' has no labels: an array of shape {given.shape}")
    if not np.isfinite(given).all() or (given < 0).any() or (given != np.floor(given)).any():
        raise UserError(f"data '{name}': labels must be whole numbers from 0, or one-hot rows")
    if given.size and given.max() >= MOST_CLASSES:
        raise UserError(f"data '{name}' has labels up to {int(given.max()):,}; they must be numbers of classes, from 0")
    rows = given.reshape(len(given), -1)
    if rows.shape[1] == 1:
        return np.asarray(rows[:, 0], np.int64)
    if given.ndim > 2 or (rows.max(axis=1) != 1).any() or (rows.sum(axis=1) != 1).any():
        raise UserError(
            f"data '{name}': labels of shape {given.shape} must be one-hot, with a single 1 in each row; "
            "or give one whole number per sample"
        )
    return np.asarray(rows.argmax(axis=1), np.int64)


CLASSES = Targets(class_labels, are_classes=True)


def _split(
    x: Arrays, y: Arrays, part: str, share: float, seed: int, name: str, by_class: bool
) -> dict[str, tuple[Arrays, Arrays]]:
    """What is left of the training part, and a part split off from it: stratified if every class has two samples."""
    from sklearn.model_selection import train_test_split

    if not 0 < share < 1:
        raise UserError(f"the {part} part must be a fraction between 0 and 1; got {share}")
    count = count_of(x)
    counts = np.unique(each(y)[0], return_counts=True)[1] if by_class else np.array([count])
    n_split = math.ceil(share * count)
    if min(n_split, count - n_split) < len(counts):
        verb = "validate" if part == VALIDATION else part
        raise UserError(
            f"data '{name}': {share:.0%} of {count} training samples are too few to {verb} {len(counts)} "
            f"classes on; give more, or your own x_{part} and y_{part}"
        )
    kept, taken = train_test_split(
        np.arange(count),
        test_size=n_split,
        random_state=seed,
        stratify=each(y)[0] if by_class and counts.min() > 1 else None,
    )
    return {one: (rows_of(x, index), rows_of(y, index)) for one, index in ((TRAIN, kept), (part, taken))}


def _scaled(x: tuple[Array, ...], y: tuple[Array, ...], part: str, name: str, scaling: Scaling) -> Arrays:
    """The inputs of a part, scaled and checked: as many samples in every array, all finite."""
    _check_one_input(x, name, scaling)
    for number, one in enumerate(x):
        if not len(one) or any(len(other) != len(one) for other in y):
            shapes = ", ".join(str(labels.shape) for labels in y)
            raise UserError(
                f"data '{name}': x_{part} has shape {one.shape} and y_{part} {shapes}; both need the same number of "
                "samples, at least 1"
            )
        if len(one) != len(x[0]):
            raise UserError(f"data '{name}': input {number} has {len(one)} samples, the first {len(x[0])}")
    scaled = [scaling.apply(one) for one in x]
    if not all(np.isfinite(one).all() for one in scaled):
        raise UserError(f"data '{name}': x_{part} must hold finite numbers")
    return joined(scaled)


def _check_one_input(x: tuple[Array, ...], name: str, scaling: Scaling) -> None:
    if len(x) > 1 and scaling != Scaling():
        raise UserError(
            f"--rescale, --mean and --std are for a model with one input; data '{name}' has {len(x)}: scale its arrays"
        )


def _check_shapes(parts: Sequence[Arrays], name: str) -> None:
    for arrays in zip(*map(each, parts), strict=True):
        if len(shapes := {one.shape[1:] for one in arrays}) > 1:
            raise UserError(f"data '{name}' has samples of several shapes: {', '.join(map(str, sorted(shapes)))}")
