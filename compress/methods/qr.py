"""Pivoted QR of a dense or 1x1 kernel, truncated to r columns: two matrices like SVD, without its optimality.

Golub and Van Loan, "Matrix Computations", section 5.4 (QR with column pivoting, by Businger and Golub).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorly as tl
from scipy.linalg import qr

from rankline.src.compress.methods.numerics.gram import tail_of
from rankline.src.compress.methods.numerics.remembered import remembered
from rankline.src.compress.methods.numerics.tensor import Tensor
from rankline.src.compress.methods.two_factors import TwoFactors
from rankline.src.dse.error_table import EXACT, ErrorTable
from rankline.src.dse.space import Branch


class QR(TwoFactors):
    """Factors: Q (N, r) with orthonormal columns, (1, .., 1, N, r) for a 1x1 convolution, and R P^T (r, M).

    W P = Q R: pivoting picks r outputs one by one, each the one least explained by those before it; the other outputs
    are combinations of them. The truncation drops the trailing block of R.
    """

    name = "qr"

    def factorize(
        self, weights: Tensor, ranks: tuple[int, ...], shape: str | None, covariance: Tensor | None
    ) -> list[Tensor]:
        *kernel, columns = tl.shape(weights)
        basis, triangle, pivots = _pivoted(tl.reshape(weights, (-1, columns)))
        (rank,) = ranks
        unpivoted = triangle[:rank, pivots.argsort()]
        left, right = (tl.tensor(array, **tl.context(weights)) for array in (basis[:, :rank], unpivoted))
        return [tl.reshape(left, (*kernel, rank)), right]

    def tables(
        self, weights: Tensor, branches: Sequence[Branch], covariance: Tensor | None
    ) -> dict[str | None, ErrorTable]:
        matrix = tl.to_numpy(tl.reshape(weights, (-1, tl.shape(weights)[-1])))
        triangle, _ = qr(matrix, mode="r", pivoting=True, check_finite=False)
        rows = (triangle[: min(matrix.shape)] ** 2).sum(axis=1)
        return {None: ErrorTable((tail_of(rows),), EXACT)}


@remembered
def _pivoted(matrix: Tensor) -> tuple[Any, Any, Any]:
    """Q (N, min(N, M)), R and the pivots, as NumPy arrays."""
    basis, triangle, pivots = qr(tl.to_numpy(matrix), mode="economic", pivoting=True, check_finite=False)
    return basis, triangle, pivots
