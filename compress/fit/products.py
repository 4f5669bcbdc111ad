"""Sums of products over many rows, in blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

WIDE = 512
"""From this many columns on, single precision halves the time and the memory of what is large."""

BLOCK_ELEMENTS = 2**23
"""Elements of a block of rows (32 or 64 MiB)."""

NOISE = 1e-4
"""The share of the mean diagonal of a covariance that is safely above the eigenvalues of the rounding errors of single
precision (4e-5 of it with 5,000 columns). A matrix with a ridge of at least that doesn't suffer from them."""


def add_products(
    total: Reals,
    left: NDArray[Any],
    right: NDArray[Any] | None = None,
    shifts: tuple[NDArray[Any] | float, NDArray[Any] | float] = (0.0, 0.0),
    single: bool = False,
) -> None:
    """Adds (left - shift)^T (right - shift), of (n, p) and (n, q), to ``total`` (p, q).

    right: by default the same as left; shifts: of left and of right; near their means, rounding errors are relative to
    the variance and not to the mean. single: whether blocks of rows in single precision may be multiplied in it (see
    NOISE) where there are WIDE columns or more; blocks are always added in double precision.
    """
    columns = left.shape[1]
    kind = np.float32 if single and columns >= WIDE and left.dtype == np.float32 else np.float64
    rows = max(1, BLOCK_ELEMENTS // columns)
    pairs = [(left, shifts[0])] if right is None else [(left, shifts[0]), (right, shifts[1])]
    with np.errstate(invalid="ignore"):  # what is not finite is found in the sums
        for start in range(0, len(left), rows):
            blocks = [np.asarray(one[start : start + rows], kind) - np.asarray(shift, kind) for one, shift in pairs]
            total += blocks[0].T @ blocks[-1]


def less_product(total: Reals, left: Reals, right: Reals) -> Reals:
    """``total`` (p, q) less left right^T, in place and without another matrix of that size."""
    for row, value in zip(total, left, strict=True):
        row -= value * right
    return total


def with_ridge(xx: Reals, ridge: float) -> NDArray[Any]:
    """xx (D, D) plus lam I, with lam = ``ridge`` times the mean of its diagonal; in single precision where it has WIDE
    columns or more and the ridge is above the NOISE."""
    wide = len(xx) >= WIDE and ridge >= NOISE
    found: NDArray[Any] = xx.astype(np.float32 if wide else np.float64)
    found[np.diag_indices(len(found))] += ridge * np.trace(xx) / len(xx)
    return found
