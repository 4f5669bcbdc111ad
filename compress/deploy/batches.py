"""Samples in batches of one size, as files for a fixed batch take them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rankline.src.compress.data.arrays import Array


def in_batches(arrays: Sequence[Array], batch: int) -> Iterator[list[Array]]:
    """Batches of ``batch`` rows of each array (n, ...), in order; the last is filled with rows from the beginning."""
    count = len(arrays[0]) if arrays else 0
    for start in range(0, count, batch):
        rows = np.arange(start, start + batch) % count
        yield [one[rows] for one in arrays]
