"""Tensor-train orthogonal iteration: TT-SVD, and sweeps back and forth that lower its error.

Zhou, Zhang, Zheng and Wang, "Optimal High-Order Tensor SVD via Tensor-Train Orthogonal Iteration", IEEE Trans. Inf.
Theory 68(6), 2022, algorithm 1: a sweep recomputes every frame as the best one given those on the other side. The first
sweep is TT-SVD (Oseledets, "Tensor-Train Decomposition", SIAM J. Sci. Comput. 33(5), 2011, algorithm 1), so the error
is never above that of TT-SVD. With two ranks it is HOOI. The frames come from the smaller Gram matrix of each
unfolding.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorly as tl

from rankline.src.compress.methods.numerics.gram import left_frame
from rankline.src.compress.methods.numerics.tensor import Tensor


def tt_factors(tensor: Tensor, ranks: Sequence[int]) -> list[Tensor]:
    """Cores (n_0, r_1), (r_1, n_1, r_2), .., (r_m, n_m) of a tensor (n_0, .., n_m), the ends with orthonormal columns.

    A rank larger than its neighbours can feed is padded with zeros.
    """
    sizes = tl.shape(tensor)
    remainders = [tensor]
    for size, left, rank in zip(sizes, (1, *ranks), ranks[:-1], strict=False):
        matrix = tl.reshape(remainders[-1], (left * size, -1))
        remainders.append(tl.matmul(tl.transpose(_frame(matrix, rank)), matrix))
    return _backward_sweep(remainders, sizes, ranks)


def _backward_sweep(remainders: Sequence[Tensor], sizes: Sequence[int], ranks: Sequence[int]) -> list[Tensor]:
    """The cores, computed last to first from the remainders (r_j, n_j .. n_m) of the forward sweep at each cut."""
    frames: list[Tensor] = []
    cores = []
    bounds = (1, *ranks, 1)
    for j in reversed(range(len(ranks))):
        matrix = remainders[j]
        for frame in frames:
            matrix = tl.matmul(tl.reshape(matrix, (-1, len(frame))), frame)
        matrix = tl.reshape(matrix, (bounds[j] * sizes[j], -1))
        if j:
            frames.append(_frame(tl.transpose(matrix), ranks[j]))
            cores.append(tl.reshape(tl.transpose(frames[-1]), (ranks[j], sizes[j + 1], bounds[j + 2])))
    # The first core gets its own frame, so that both ends are orthonormal and the norms are in the cores between.
    first = _frame(matrix, ranks[0])
    cores.append(tl.reshape(tl.matmul(tl.transpose(first), matrix), (ranks[0], sizes[1], bounds[2])))
    last, *between = cores
    return [first, *reversed(between), tl.reshape(last, (ranks[-1], sizes[-1]))]


def _frame(matrix: Tensor, rank: int) -> Tensor:
    """The leading left singular vectors (m, rank) of a matrix (m, n), padded with zero columns if it has fewer."""
    frame = left_frame(matrix)[:, :rank]
    rows, columns = tl.shape(frame)
    return tl.concatenate([frame, tl.zeros((rows, rank - columns), **tl.context(frame))], axis=1)
