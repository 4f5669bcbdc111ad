"""The importance of each filter of a convolution, by three criteria that need no data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rankline.src.dse.errors import one_of

Vector = NDArray[np.float64]


def filter_importance(kernel: NDArray[np.floating], criterion: str) -> Vector:
    """The importance (F,) of the filters of a kernel (.., C, F); the least important goes first.

    Raises UserError for a criterion that is not in ``CRITERIA``.
    """
    if criterion not in CRITERIA:
        raise one_of("criterion", criterion, list(CRITERIA))
    return CRITERIA[criterion](np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1]).T)


def _l1(filters: Vector) -> Vector:
    """Sum of absolute weights: Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, section 3.1."""
    return np.asarray(np.abs(filters).sum(axis=1))


def _l2(filters: Vector) -> Vector:
    """Euclidean norm: He et al., "Soft Filter Pruning for Accelerating Deep CNNs", IJCAI 2018, equation 2, p = 2."""
    return np.asarray(np.linalg.norm(filters, axis=1))


def _geometric_median(filters: Vector) -> Vector:
    """Sum of the Euclidean distances to all filters of the layer: the one nearest their geometric median goes first.

    He et al., "Filter Pruning via Geometric Median for Deep Convolutional Neural Networks Acceleration", CVPR
    2019, section 3. Distances come from the Gram matrix: ||x - y||^2 = ||x||^2 + ||y||^2 - 2 x.y.
    """
    squares = (filters**2).sum(axis=1)
    distances = np.sqrt(np.maximum(0, squares[:, None] + squares - 2 * filters @ filters.T))
    return np.asarray(distances.sum(axis=1))


CRITERIA: dict[str, Callable[[Vector], Vector]] = {"l1": _l1, "l2": _l2, "geometric_median": _geometric_median}
