"""``tf.data`` sets read into arrays, without TensorFlow: whatever has an ``as_numpy_iterator``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankline.src.dse.errors import UserError

PARTS = {2: ("train", "test"), 3: ("train", "validation", "test")}

INFINITE = -1
"""What ``tf.data`` says is the cardinality of a set without end."""


def is_stream(value: Any) -> bool:
    """Whether a value is a ``tf.data`` set, or can be read as one."""
    return hasattr(value, "as_numpy_iterator")


def arrays_of(sets: Sequence[Any], name: str) -> list[NDArray[Any]]:
    """Inputs and labels of each set in turn: x_train, y_train, and so on.

    sets: two (train, test) or three (train, validation, test), each giving (x, y), batches or single samples. An
    element is a batch where it has as many labels as inputs along their first axes, and single samples have one
    number, or a one-hot row, for a label. All samples are held in memory, and twice for a moment: a set that
    doesn't fit is to be cut with ``take``, and augmentation is read once, as it comes.
    Raises UserError for another number of sets, for one without samples or without end, and for other elements.
    """
    if len(sets) not in PARTS:
        raise UserError(f"data '{name}' takes 2 sets (train, test) or 3 (train, validation, test); got {len(sets)}")
    return [array for part, one in zip(PARTS[len(sets)], sets, strict=True) for array in _read(one, part)]


def _read(stream: Any, part: str) -> tuple[NDArray[Any], NDArray[Any]]:
    if hasattr(stream, "cardinality") and int(stream.cardinality()) == INFINITE:
        raise UserError(f"the {part} set has no end; leave out its repeat(), or cut it with take()")
    pairs = list(_batches(stream, part))
    if not pairs:
        raise UserError(f"the {part} set is empty")
    try:
        x, y = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    except ValueError as error:
        raise UserError(f"the {part} set has samples of several shapes ({error})") from error
    return x, y


def _batches(stream: Any, part: str) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    for element in stream.as_numpy_iterator():
        if not isinstance(element, tuple | list) or len(element) != 2:
            raise UserError(
                f"the {part} set must give (x, y), inputs and labels; it gives {_kind(element)}: change it with map()"
            )
        x, y = map(np.asarray, element)
        is_batch = x.ndim and y.ndim and len(x) == len(y)
        yield (x, y) if is_batch else (x[None], y[None])


def _kind(element: Any) -> str:
    many = isinstance(element, tuple | list)
    return f"{len(element)} things at a time" if many else type(element).__name__
