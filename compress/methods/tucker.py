"""Tucker-2: a 1x1 convolution to r_1 channels, the core with the original kernel, a 1x1 to the outputs.

Kim et al., "Compression of Deep Convolutional Neural Networks for Fast and Low Power Mobile Applications",
ICLR 2016, section 3. The factors: De Lathauwer et al., "On the Best Rank-1 and Rank-(R1, .., RN) Approximation
of Higher-Order Tensors", SIAM J. Matrix Anal. Appl. 21(4), 2000, algorithm 4.2 (HOOI). The error of all rank
pairs: the energy outside the leading block of the core in the full HOSVD frame (De Lathauwer et al., "A
Multilinear Singular Value Decomposition", same volume, property 10).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import tensorly as tl
from tensorly.tenalg import mode_dot, multi_mode_dot

from rankline.src.compress.methods.factor import Factor, geometry, last_factor, linear_factor
from rankline.src.compress.methods.method import Decomposition
from rankline.src.compress.methods.numerics.gram import grid_of, leading_frame
from rankline.src.compress.methods.numerics.remembered import remembered
from rankline.src.compress.methods.numerics.tensor import Tensor
from rankline.src.compress.methods.numerics.whitened_tucker import WhitenedTucker
from rankline.src.dse.error_table import EXACT, ErrorTable
from rankline.src.dse.space import Branch

if TYPE_CHECKING:
    import keras

SWEEPS = 2
POWER_STEPS = 2
SMALL = 128
"""Up to this size, an eigenproblem takes no longer than orthogonal iteration."""


class Tucker(Decomposition):
    """Factors: U_1 (C, r_1), core G (K_1, .., K_d, r_1, r_2), U_2 (r_2, F); W = G x_C U_1 x_F U_2^T.

    U_1 has orthonormal columns and U_2 orthonormal rows, for all ranks.
    """

    name = "tucker"
    suffixes = ("in", "core", "out")
    uses_covariance = True

    def factorize(
        self, weights: Tensor, ranks: tuple[int, ...], shape: str | None, covariance: Tensor | None
    ) -> list[Tensor]:
        if covariance is not None:
            return WhitenedTucker(weights, covariance, ranks[0]).factors(*ranks)
        inputs, outputs = tl.ndim(weights) - 2, tl.ndim(weights) - 1
        left, right = (frame[:, :rank] for frame, rank in zip(hosvd_frames(weights), ranks, strict=True))
        for _ in range(SWEEPS):
            left = _rotated(left, tl.unfold(mode_dot(weights, tl.transpose(right), outputs), inputs))
            right = _rotated(right, tl.unfold(mode_dot(weights, tl.transpose(left), inputs), outputs))
        core = multi_mode_dot(weights, [tl.transpose(left), tl.transpose(right)], modes=[inputs, outputs])
        return [left, core, tl.transpose(right)]

    def tables(
        self, weights: Tensor, branches: Sequence[Branch], covariance: Tensor | None
    ) -> dict[str | None, ErrorTable]:
        (branch,) = branches
        first, last = branch.caps
        if covariance is not None:
            energy = WhitenedTucker(weights, covariance, first).energy()
        else:
            modes = [tl.ndim(weights) - 2, tl.ndim(weights) - 1]
            core = multi_mode_dot(weights, [tl.transpose(frame) for frame in hosvd_frames(weights)], modes=modes)
            energy = tl.to_numpy(tl.sum(tl.reshape(core**2, (-1, *tl.shape(core)[-2:])), axis=0))
        return {None: ErrorTable((grid_of(energy)[:first, :last],), EXACT)}

    def reconstruct(self, factors: Sequence[Tensor]) -> Tensor:
        left, core, right = factors
        return mode_dot(tl.matmul(core, right), left, tl.ndim(core) - 2)

    def factor_layers(self, layer: keras.Layer, factors: Sequence[Tensor]) -> list[Factor]:
        left, core, right = factors
        first, middle = _split_strides(layer)
        return [
            linear_factor(layer, self.layer_name(layer.name, "in"), left, {"strides": first}),
            linear_factor(layer, self.layer_name(layer.name, "core"), core, {**geometry(layer), "strides": middle}),
            last_factor(layer, self.layer_name(layer.name, "out"), right),
        ]


@remembered
def hosvd_frames(weights: Tensor) -> tuple[Tensor, Tensor]:
    """The full frames (C, C) and (F, F) of the input and output channels, those with the most energy first."""
    modes = (tl.ndim(weights) - 2, tl.ndim(weights) - 1)
    left, right = (leading_frame(tl.unfold(weights, mode), tl.shape(weights)[mode]) for mode in modes)
    return left, right


def _rotated(frame: Tensor, matrix: Tensor) -> Tensor:
    """A frame (m, r) rotated to the r leading left singular vectors of ``matrix`` (m, n).

    By an eigenproblem if it is small, otherwise by orthogonal iteration (Golub and Van Loan, "Matrix Computations",
    section 8.2.4), because the HOSVD frame is already close: on kernels with a decaying spectrum, two steps come within
    1e-4 of the eigenproblem's error, relative to it, several times faster.
    """
    if len(matrix) <= SMALL:
        return leading_frame(matrix, tl.shape(frame)[1])
    for _ in range(POWER_STEPS):
        frame, _ = tl.qr(tl.matmul(matrix, tl.matmul(tl.transpose(matrix), frame)))
    return frame


def _split_strides(layer: keras.Layer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Strides of the first factor and of the core.

    Along axes of kernel size 1, the input is subsampled before anything is computed. Padding never adds positions
    there, so they are those of the original layer.
    """
    pairs = list(zip(layer.kernel_size, layer.strides, strict=True))
    return tuple(s if k == 1 else 1 for k, s in pairs), tuple(1 if k == 1 else s for k, s in pairs)
