"""Reads ``tf.data`` sets into arrays without importing TensorFlow: anything with an ``as_numpy_iterator``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankline.src.dse.errors import UserError

PARTS = {2: ("train", "test"), 3: ("train", "validation", "test")}

INFINITE = -1
"""The cardinality that ``tf.data`` reports for an endless set."""


def is_stream(value: Any) -> bool:
    """Whether a value is a ``tf.data`` set, or can be read as one."""
    return hasattr(value, "as_numpy_iterator")


def arrays_of(sets: Sequence[Any], name: str) -> list[NDArray[Any]]:
    """Inputs and labels of each set in turn: x_train, y_train, and so on.

    sets: (train, test) or (train, validation, test), each yielding (x, y), as batches or single samples. An element
    is a batch if x and y have the same length along their first axes; the label of a single sample is one number or
    a one-hot row. All samples are held in memory, briefly twice: cut a set that doesn't fit with ``take``.
    Augmented samples are read once.
    Raises UserError for another number of sets, an empty or endless set, and other elements.
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
