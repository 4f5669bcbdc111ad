"""What may be given as an array: real numbers, with one sample for each entry of the first axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankline.src.dse.errors import UserError

Array = NDArray[Any]

Arrays = Array | tuple[Array, ...]
"""The inputs of a model, or its targets: an array, or one for each where the model has several."""


def each(given: Arrays) -> tuple[Array, ...]:
    """The arrays in order, also where it is only one."""
    return given if isinstance(given, tuple) else (given,)


def joined(arrays: Sequence[Array]) -> Arrays:
    """The opposite of ``each``."""
    return arrays[0] if len(arrays) == 1 else tuple(arrays)


def count_of(given: Arrays) -> int:
    """The number of samples."""
    return len(each(given)[0])


def rows_of(given: Arrays, index: Any) -> Arrays:
    """Some of the samples."""
    return joined([one[index] for one in each(given)])


def array_of(value: Any, name: str) -> Array:
    """A value as an array of real numbers (n, ...). name: of the data, or of the array in it.

    Takes what NumPy can read: lists, tensors, data frames of numbers. Raises UserError for anything else.
    """
    if isinstance(value, Iterator) or not (hasattr(value, "__array__") or isinstance(value, Sequence | int | float)):
        raise UserError(f"data '{name}' holds something that is not an array ({_kind(value)}); give NumPy arrays")
    try:
        array = np.asarray(value)
    except Exception as error:  # whatever a foreign object raises
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"data '{name}' holds something that is not an array ({reason})") from error
    check_kind(array.dtype, array.shape, name)
    return array


def check_kind(dtype: np.dtype[Any], shape: tuple[int, ...], name: str) -> None:
    """Raises UserError unless arrays of this kind are real numbers with an axis of samples."""
    if dtype.kind not in "buif":
        raise UserError(
            f"data '{name}' holds {_NAMES.get(dtype.kind, str(dtype))}; real numbers are needed (in an array of one "
            "dtype)"
        )
    if not shape:
        raise UserError(f"data '{name}' holds a single number; an array with a first axis of samples is needed")


_NAMES = {
    "c": "complex numbers",
    "O": "Python objects",
    "U": "text",
    "S": "text",
    "V": "records",
    "M": "dates",
    "m": "durations",
}


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"
