"""Truncated SVD of the (K C) x F matrix: the original kernel to r channels, then a 1x1 (dense: two matrices).

Zhang et al., "Accelerating Very Deep Convolutional Networks for Classification and Detection", TPAMI 2016,
section 3.1; optimal by Eckart and Young, "The approximation of one matrix by another of lower rank",
Psychometrika 1, 1936.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorly as tl

from rankline.src.compress.methods.numerics.gram import leading_eigenvectors, leading_frame, smaller_gram, spectral_tail
from rankline.src.compress.methods.numerics.tensor import Tensor
from rankline.src.compress.methods.two_factors import TwoFactors
from rankline.src.dse.error_table import EXACT, ErrorTable
from rankline.src.dse.space import Branch


class SVD(TwoFactors):
    """Factors: U S^1/2 of shape (K_1, .., K_d, C, r), or (N, r) for a dense layer, and S^1/2 V^T (r, F).

    With the input covariance S, V holds the leading eigenvectors of W^T S W: W V V^T is then the best rank-r kernel for
    the layer's outputs, even if S is rank-deficient.
    """

    name = "svd"
    uses_covariance = True

    def factorize(
        self, weights: Tensor, ranks: tuple[int, ...], shape: str | None, covariance: Tensor | None
    ) -> list[Tensor]:
        *kernel, columns = tl.shape(weights)
        matrix = tl.reshape(weights, (-1, columns))
        if covariance is not None:
            left, right = _balanced(matrix, leading_eigenvectors(_output_gram(matrix, covariance), ranks[0]))
        elif len(matrix) < columns:
            flipped = tl.transpose(matrix)
            right, left = (tl.transpose(half) for half in _balanced(flipped, leading_frame(matrix, ranks[0])))
        else:
            left, right = _balanced(matrix, leading_frame(tl.transpose(matrix), ranks[0]))
        return [tl.reshape(left, (*kernel, ranks[0])), right]

    def tables(
        self, weights: Tensor, branches: Sequence[Branch], covariance: Tensor | None
    ) -> dict[str | None, ErrorTable]:
        matrix = tl.reshape(weights, (-1, tl.shape(weights)[-1]))
        gram = smaller_gram(matrix) if covariance is None else _output_gram(matrix, covariance)
        (branch,) = branches
        return {None: ErrorTable((spectral_tail(gram, branch.polynomials.caps[0]),), EXACT)}


def _output_gram(matrix: Tensor, covariance: Tensor) -> Tensor:
    """W^T S W, the second moment of the outputs, in float64."""
    seen = tl.matmul(covariance, tl.tensor(matrix, **tl.context(covariance)))
    return tl.matmul(tl.transpose(matrix), tl.tensor(seen, **tl.context(matrix)))


def _balanced(matrix: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
    """Two factors (m, rank), (rank, n) of the projection W V V^T of a matrix (m, n) onto a frame V (n, rank).

    The norm of each column of W V is split evenly between the two factors; for a frame of singular vectors they are U
    S^1/2 and S^1/2 V^T. If a column is zero, its row has norm 1.
    """
    image = tl.matmul(matrix, frame)
    scale = tl.sqrt(tl.norm(image, axis=0))
    scale = tl.where(scale > 0, scale, tl.ones(len(scale), **tl.context(scale)))
    return image / scale, tl.transpose(frame * scale)
