"""Reads ``tf.data`` sets into arrays without importing TensorFlow: anything with an ``as_numpy_iterator``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rankline.src.compress.data.arrays import Array, Arrays, each, joined
from rankline.src.dse.errors import UserError

PARTS = {2: ("train", "test"), 3: ("train", "validation", "test")}

INFINITE = -1
"""The cardinality that ``tf.data`` reports for an endless set."""


def is_stream(value: Any) -> bool:
    """Whether a value is a ``tf.data`` set, or can be read as one."""
    return hasattr(value, "as_numpy_iterator")


def arrays_of(sets: Sequence[Any], name: str) -> list[Arrays]:
    """Inputs and labels of each set in turn: x_train, y_train, and so on.

    sets: (train, test) or (train, validation, test), each yielding (x, y), as batches or single samples; x or y is a
    tuple, or a dict in the order of its keys, where a model has several. An element is a batch if x and y have the same
    length along their first axes; the label of a single sample is one number or a one-hot row. All samples are held in
    memory, briefly twice: cut a set that doesn't fit with ``take``. Augmented samples are read once.
    Raises UserError for another number of sets, an empty or endless set, and other elements.
    """
    if len(sets) not in PARTS:
        raise UserError(f"data '{name}' takes 2 sets (train, test) or 3 (train, validation, test); got {len(sets)}")
    return [array for part, one in zip(PARTS[len(sets)], sets, strict=True) for array in _read(one, part, _pair)]


def inputs_of_stream(stream: Any, count: int) -> Arrays:
    """The inputs of a single set, which yields batches of x or of (x, y). count: how many inputs the model has.

    Raises UserError as ``arrays_of`` does.
    """

    def inputs(element: Any, part: str) -> tuple[tuple[Array, ...]]:
        has_labels = isinstance(element, tuple | list) and len(element) == 2
        if has_labels and count > 1:
            has_labels = isinstance(element[0], tuple | list | Mapping)
        return (_arrays(element[0] if has_labels else element),)

    (x,) = _read(stream, "calibration", inputs)
    return x


def _read(stream: Any, part: str, taken: Callable[[Any, str], tuple[tuple[Array, ...], ...]]) -> list[Arrays]:
    if hasattr(stream, "cardinality") and int(stream.cardinality()) == INFINITE:
        raise UserError(f"the {part} set has no end; leave out its repeat(), or cut it with take()")
    batches = [taken(element, part) for element in stream.as_numpy_iterator()]
    if not batches:
        raise UserError(f"the {part} set is empty")
    try:
        return [
            joined([np.concatenate(some) for some in zip(*side, strict=True)]) for side in zip(*batches, strict=True)
        ]
    except ValueError as error:
        raise UserError(f"the {part} set has samples of several shapes ({error})") from error


def _pair(element: Any, part: str) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """The inputs and labels of an element, as batches."""
    if not isinstance(element, tuple | list) or len(element) != 2:
        raise UserError(
            f"the {part} set must give (x, y), inputs and labels; it gives {_kind(element)}: change it with map()"
        )
    x, y = map(_arrays, element)
    is_batch = all(one.ndim and len(one) == len(x[0]) for one in (*x, *y)) if x[0].ndim else False
    return (x, y) if is_batch else (tuple(one[None] for one in x), tuple(one[None] for one in y))


def _arrays(side: Any) -> tuple[Array, ...]:
    if isinstance(side, Mapping):
        return tuple(np.asarray(side[key]) for key in sorted(side))
    return tuple(map(np.asarray, side)) if isinstance(side, tuple | list) else each(np.asarray(side))


def _kind(element: Any) -> str:
    many = isinstance(element, tuple | list)
    return f"{len(element)} things at a time" if many else type(element).__name__
