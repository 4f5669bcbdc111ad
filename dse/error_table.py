"""Error tables: the error of every configuration of a layer, computed from its weights.

``compress`` makes the tables from weights and calibration data; they are evaluated here, so that ``db`` can filter by
error. Every error is relative: ||W - W'|| / ||W||, or the same ratio for the layer's outputs on calibration data. It
falls with every rank, so an error window is an interval of k on each rank line, like any other window.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankline.src.dse.clock import check_clock

if TYPE_CHECKING:
    from rankline.src.dse.lines import Integers, Lines

Reals = NDArray[np.float64]

EXACT, BOUND, ESTIMATE = "exact", "bound", "estimate"
"""How certain an error is: the exact error, an upper bound, or a calibrated estimate."""


@dataclass(frozen=True)
class ErrorTable:
    """Squared relative errors of all rank combinations, for one tensor shape.

    tables: either one (caps_1, caps_2) array with the squared error of (r_1, r_2) at [r_1 - 1, r_2 - 1], or one vector
        per rank, whose sum over j of tables[j][r_j - 1] is the squared error. Values fall along every axis.
    spread: for an estimate, how far at most a true error lies from it, relative to it, as far as ranks were fitted;
    limits: for an estimate over one rank, the squared errors between which the true ones lie, as two vectors.
    """

    tables: tuple[Reals, ...]
    certainty: str
    spread: float = 0.0
    limits: tuple[Reals, ...] = ()

    @property
    def is_grid(self) -> bool:
        """Whether this is one table over two ranks."""
        return self.tables[0].ndim == 2

    @property
    def n_ranks(self) -> int:
        """Number of ranks of the tensor shape."""
        return 2 if self.is_grid else len(self.tables)

    def errors(self, ranks: Integers) -> Reals:
        """The relative errors (n,) of many rank combinations (n, ranks)."""
        if self.is_grid:
            return np.sqrt(self.tables[0][ranks[:, 0] - 1, ranks[:, 1] - 1])
        return np.sqrt(sum(tail[ranks[:, j] - 1] for j, tail in enumerate(self.tables)))

    def error(self, ranks: Sequence[int]) -> float:
        """The relative error of one rank combination."""
        return float(self.errors(np.array([ranks], np.int64))[0])

    def between(self, ranks: Integers) -> tuple[Reals, Reals]:
        """The lowest and highest relative errors (n,) that the configurations (n, ranks) may have: the error itself
        where it is exact, 0 and the bound where it is a bound, and NaN for an estimate whose limits aren't known."""
        if self.limits:
            low, high = (np.sqrt(limit[ranks[:, 0] - 1]) for limit in self.limits)
            return low, high
        errors = self.errors(ranks)
        if self.certainty == ESTIMATE:
            return np.full(len(ranks), np.nan), np.full(len(ranks), np.nan)
        return (errors if self.certainty == EXACT else np.zeros(len(ranks))), errors

    def along(self, lines: Lines) -> Curves:
        """The squared errors along rank lines of the same tensor shape."""
        ks = slice(lines.step - 1, lines.step * lines.cap, lines.step)
        fixed = [j for j in range(lines.ranks.shape[1]) if j != lines.free]
        if self.is_grid:
            (other,) = fixed
            table = self.tables[0] if lines.free == 1 else self.tables[0].T
            return Curves(np.zeros(len(lines)), lines.ranks[:, other] - 1, table[:, ks])
        offset = np.zeros(len(lines))
        for j in fixed:
            offset += self.tables[j][lines.ranks[:, j] - 1]
        return Curves(offset, np.zeros(len(lines), np.int64), self.tables[lines.free][None, ks])


@dataclass(frozen=True)
class Curves:
    """Squared errors along lines: ``offset[line] + curves[row[line], k - 1]``, falling with k."""

    offset: Reals
    row: Integers
    curves: Reals

    def at(self, line: Integers, k: Integers) -> Reals:
        """The squared errors at k on the given lines."""
        values: Reals = self.offset[line] + self.curves[self.row[line], k - 1]
        return values

    def first_within(self, limit: float) -> Integers:
        """On each line the first k with a squared error of at most ``limit``; one past the last where none has."""
        from rankline.src.dse.scan.curves import first_within  # numba: only where errors are looked for

        return first_within(self.offset, self.row, np.ascontiguousarray(self.curves), limit)  # type: ignore[no-any-return]


Spectrum = Mapping[str | None, ErrorTable]
"""A method's error tables for one layer, by tensor shape (None except for T3F)."""


def to_bytes(spectrum: Spectrum) -> bytes:
    """The tables as a NumPy archive (.npz, float32), which ``from_bytes`` reads.

    Raises UserError where the clock stands before 1980.
    """
    check_clock()
    index = [[shape, len(one.tables), one.certainty, one.spread, len(one.limits)] for shape, one in spectrum.items()]
    tables = [table.astype(np.float32) for one in spectrum.values() for table in (*one.tables, *one.limits)]
    file = io.BytesIO()
    np.savez(file, np.frombuffer(json.dumps(index).encode(), np.uint8), *tables)
    return file.getvalue()


def from_bytes(content: bytes) -> dict[str | None, ErrorTable]:
    """The tables written by ``to_bytes``; no code in the bytes is executed."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        index, *tables = [archive[f"arr_{j}"] for j in range(len(archive.files))]
    waiting = iter(tables)

    def following(count: int) -> tuple[Reals, ...]:
        return tuple(next(waiting).astype(np.float64) for _ in range(count))

    return {
        shape: ErrorTable(following(count), certainty, spread, following(sum(limits)))
        for shape, count, certainty, spread, *limits in json.loads(index.tobytes())  # older tables have no limits
    }
