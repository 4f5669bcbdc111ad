"""TT: a 1x1 convolution, one convolution along each spatial axis, and a 1x1 to the outputs.

The tensor train of a kernel over the modes (C, K_1, .., K_d, F): Oseledets, "Tensor-Train Decomposition", SIAM J. Sci.
Comput. 33(5), 2011, with theorem 2.2 for the bound on its error; the modes are ordered so that every core is a
convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import tensorly as tl
from numpy.typing import NDArray
from tensorly.tenalg import multi_mode_dot

from rankline.src.compress.methods.factor import Factor, geometry, last_factor, linear_factor, placed, spatial_axes
from rankline.src.compress.methods.method import Decomposition
from rankline.src.compress.methods.numerics.gram import grid_of, spectral_tail
from rankline.src.compress.methods.numerics.tensor import Tensor
from rankline.src.compress.methods.numerics.ttoi import tt_factors
from rankline.src.compress.methods.tucker import hosvd_frames
from rankline.src.dse.error_table import BOUND, EXACT, ErrorTable
from rankline.src.dse.space import Branch

if TYPE_CHECKING:
    import keras


class TT(Decomposition):
    """Factors: U (C, r_1), G_j (1, .., K_j, .., 1, r_j, r_{j+1}) for each spatial axis with K_j > 1, V (r_{d+1}, F).

    W[k_1, .., k_d, c, f] = U[c] G_1[k_1] .. G_d[k_d] V[f]. U has orthonormal columns, V orthonormal rows. Ranks larger
    than their neighbours can feed are padded with zeros.
    """

    name = "tt"
    suffixes = ("in", "axis1", "axis2", "axis3", "out")

    def factorize(
        self, weights: Tensor, ranks: tuple[int, ...], shape: str | None, covariance: Tensor | None
    ) -> list[Tensor]:
        tensor, axes = _train_order(weights)
        left, *cores, right = tt_factors(tensor, ranks)
        spatial = [tl.transpose(core, [1, 0, 2]) for core in cores]
        count = tl.ndim(weights) - 2
        return [left, *(placed(core, axis, count) for axis, core in zip(axes, spatial, strict=True)), right]

    def tables(
        self, weights: Tensor, branches: Sequence[Branch], covariance: Tensor | None
    ) -> dict[str | None, ErrorTable]:
        """For two ranks the error in the HOSVD frames of both ends, as for Tucker-2; for more, the sum of the tails."""
        tensor, axes = _train_order(weights)
        if len(axes) == 1:
            (branch,) = branches
            first, last = branch.polynomials.caps
            return {None: ErrorTable((_outside(_between_ends(weights))[:first, :last],), EXACT)}
        return {None: ErrorTable(tuple(_tail(tensor, cut) for cut in range(1, tl.ndim(tensor))), BOUND)}

    def exact_errors(self, weights: Tensor, ranks: Sequence[tuple[int, ...]]) -> NDArray[np.float64]:
        """Relative errors (n,) of rank combinations of a kernel as in ``decompose``, closer than the bound.

        With three ranks, they are the errors of the HOSVD frames (C, r_1) and (F, r_3) with the best core between them,
        from one eigenproblem for each (r_1, r_3), which serves every r_2; ``decompose`` gets a percent or so lower.
        With any other number of ranks, each combination is decomposed.
        """
        kernel = tl.tensor(weights, dtype=tl.float64)
        if len(_train_order(kernel)[1]) != 2:
            return np.array([self.error(kernel, self.decompose(kernel, choice, dtype="float64")) for choice in ranks])
        core = _between_ends(kernel)
        outside = _outside(core)
        tails: dict[tuple[int, int], NDArray[np.float64]] = {}
        errors = []
        for first, middle, last in ranks:
            if (first, last) not in tails:
                tails[first, last] = _tail(core[:first, :, :, :last], 2)
            tail, share = tails[first, last], outside[first - 1, last - 1]
            errors.append(share + (1 - share) * tail[min(middle, len(tail)) - 1])
        return np.sqrt(errors)

    def reconstruct(self, factors: Sequence[Tensor]) -> Tensor:
        return reduce(tl.matmul, factors)

    def factor_layers(self, layer: keras.Layer, factors: Sequence[Tensor]) -> list[Factor]:
        left, *spatial, right = factors
        with_factor, without = spatial_axes(layer)
        return [
            linear_factor(layer, self.layer_name(layer.name, "in"), left, geometry(layer, without)),
            *(
                linear_factor(layer, self.layer_name(layer.name, f"axis{axis + 1}"), core, geometry(layer, [axis]))
                for axis, core in zip(with_factor, spatial, strict=True)
            ),
            last_factor(layer, self.layer_name(layer.name, "out"), right),
        ]


def _train_order(weights: Tensor) -> tuple[Tensor, list[int]]:
    """The kernel as the tensor (C, K_1, .., K_d, F) without spatial axes of size 1, and the remaining axes."""
    *kernel, inputs, outputs = tl.shape(weights)
    axes = [axis for axis, size in enumerate(kernel) if size > 1]
    first = tl.moveaxis(weights, len(kernel), 0)
    return tl.reshape(first, (inputs, *(kernel[axis] for axis in axes), outputs)), axes


def _between_ends(weights: Tensor) -> Tensor:
    """The tensor (C, K_1, .., K_d, F) in the HOSVD frames of its channels."""
    tensor, axes = _train_order(weights)
    frames = [tl.transpose(frame) for frame in hosvd_frames(weights)]
    return multi_mode_dot(tensor, frames, modes=[0, len(axes) + 1])


def _outside(core: Tensor) -> NDArray[np.float64]:
    """The share of the energy outside the leading channels (r_1, r_{d+1}) of the core, at [r_1 - 1, r_{d+1} - 1]."""
    return grid_of(tl.to_numpy(tl.sum(core**2, axis=tuple(range(1, tl.ndim(core) - 1)))))


def _tail(tensor: Tensor, cut: int) -> NDArray[np.float64]:
    """The share of the squared singular values beyond the first r, at [r - 1], of the unfolding after ``cut`` modes."""
    matrix = tl.reshape(tensor, (prod(tl.shape(tensor)[:cut]), -1))
    rows, columns = tl.shape(matrix)
    if rows > columns:
        matrix = tl.transpose(matrix)
    return spectral_tail(tl.matmul(matrix, tl.transpose(matrix)), min(rows, columns))
