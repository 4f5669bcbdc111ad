"""A cache of results for the last few kernels, because a search decomposes the same layer at many ranks."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from functools import wraps
from math import prod
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import tensorly as tl

from rankline.src.compress.methods.numerics.tensor import Tensor

Result = TypeVar("Result")

KEPT_BYTES = 2**26
"""Size limit of the results kept for each function; the least recently used goes first."""


def remembered(function: Callable[[Tensor], Result]) -> Callable[[Tensor], Result]:
    """A cached function of one tensor: called once for the same content and backend while the result is kept."""
    results: OrderedDict[tuple[Any, ...], Result] = OrderedDict()
    lock = Lock()

    @wraps(function)
    def remembering(weights: Tensor) -> Result:
        array = np.ascontiguousarray(tl.to_numpy(weights))
        key = tl.get_backend(), array.shape, array.dtype.str, hashlib.blake2b(array.data).digest()
        with lock:
            if key in results:
                results.move_to_end(key)
                return results[key]
        found = function(weights)
        with lock:
            results[key] = found
            while len(results) > 1 and sum(map(_bytes, results.values())) > KEPT_BYTES:
                results.popitem(last=False)
        return found

    return remembering


def _bytes(result: Any) -> int:
    return sum(8 * prod(tensor.shape) for tensor in (result if isinstance(result, tuple) else (result,)))
