"""Leading singular subspaces from Gram matrices: the eigenproblem has the smaller side's size."""

from __future__ import annotations

from typing import Any

import tensorly as tl

Tensor = Any
"""A tensor of TensorLy's backend (a NumPy array unless told otherwise)."""


def leading_frame(matrix: Tensor, count: int) -> Tensor:
    """The ``count`` leading left singular vectors of ``matrix`` (m, n), as orthonormal columns (m, count).

    They are the leading eigenvectors of the (m, m) Gram matrix (Golub and Van Loan, "Matrix Computations",
    section 8.6), so ``count`` may exceed the rank of the matrix, up to m: the basis is completed.
    """
    _, vectors = tl.eigh(tl.matmul(matrix, tl.transpose(matrix)))
    return tl.flip(vectors, axis=1)[:, :count]
