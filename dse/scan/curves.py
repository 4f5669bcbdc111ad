"""Where the errors along rank lines come within a limit."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rankline.src.dse.lines import Integers


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def first_within(offset: NDArray[np.float64], row: Integers, curves: NDArray[np.float64], limit: float) -> Integers:
    """Bisection, because the curves fall."""
    found = np.zeros(len(offset), np.int64)
    for i in range(len(offset)):
        low, high = 0, curves.shape[1]
        while low < high:
            middle = (low + high) // 2
            if offset[i] + curves[row[i], middle] <= limit:
                high = middle
            else:
                low = middle + 1
        found[i] = low + 1
    return found
