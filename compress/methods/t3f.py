"""TT-matrix of a dense or 1x1 kernel over factorizations of its outputs and inputs: one layer of d cores.

Novikov et al., "Tensorizing Neural Networks", NeurIPS 2015, section 4; TT-SVD and its error: Oseledets,
"Tensor-Train Decomposition", SIAM J. Sci. Comput. 33(5), 2011, algorithm 1 and theorem 2.2. The frames come from the
Gram matrix of an unfolding's smaller side, on any backend, where t3f's ``to_tt_matrix`` takes a full SVD at each cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod
from operator import mul
from typing import TYPE_CHECKING

import numpy as np
import tensorly as tl
from numpy.typing import NDArray
from tensorly.tenalg import multi_mode_dot

from rankline.src.compress.methods.factor import Factor, ending
from rankline.src.compress.methods.method import Decomposition
from rankline.src.compress.methods.numerics.gram import grid_of, left_frame, smaller_gram, spectral_tail
from rankline.src.compress.methods.numerics.tensor import Tensor
from rankline.src.dse import methods
from rankline.src.dse.error_table import BOUND, EXACT, ErrorTable
from rankline.src.dse.errors import UserError
from rankline.src.dse.formula import substitute
from rankline.src.dse.space import Branch
from rankline.src.dse.symbols import LayerShape, layer_symbols, mode_symbols

if TYPE_CHECKING:
    import keras

Modes = tuple[int, ...]

LARGEST_SIDE = 2048
"""Tensor shapes with a rank cap (the size of an eigenproblem) above this get no error table."""


class T3F(Decomposition):
    """Factors: the cores (r_{t-1}, m_t, n_t, r_t), t = 1..d, r_0 = r_d = 1.

    For a convolution, the first core has the kernel's axes, all of size 1, in front. W(n, m) = G_1[m_1, n_1] ..
    G_d[m_d, n_d] with n and m counted in C order. The kernel is reshuffled into the tensor (m_1 n_1, .., m_d n_d) and
    factorized by TT-SVD; with d = 3 by the HOSVD frames of both ends instead, so that the error is known beforehand, as
    with d = 2. With d >= 4 only a bound is known. Ranks larger than their neighbours can feed are padded with zeros.
    """

    name = "t3f"
    ends_in_outputs = False
    suffixes = ("tt",)

    def caps(self, layer: LayerShape, shape: str | None) -> tuple[int, ...]:
        outputs, inputs = modes_of(shape)
        M, N = layer.out_channels, layer.in_channels
        fits = 2 <= len(outputs) == len(inputs) and (prod(outputs), prod(inputs)) == (M, N)
        if not fits or min(*outputs, *inputs) < 2:
            raise UserError(
                f"t3f: tensor shape {shape!r} is not possible for {M} outputs and {N} inputs; give as many factors of "
                "2 or more for both, at least two, outputs first, like 4x8:8x4 for 32 and 32"
            )
        _, _, T = layer_symbols()
        m, n = mode_symbols(len(outputs))
        numbers = dict(zip((T, *m, *n), (1, *outputs, *inputs), strict=True))
        return substitute(methods.get(self.name).formula(len(outputs)), numbers).caps

    def factorize(
        self, weights: Tensor, ranks: tuple[int, ...], shape: str | None, covariance: Tensor | None
    ) -> list[Tensor]:
        outputs, inputs = modes_of(shape)
        *kernel, _, _ = tl.shape(weights)
        tensor = reshuffled(weights, outputs, inputs)
        parts = two_sided(tensor, *ranks) if len(ranks) == 2 else tt_svd(tensor, ranks)
        sizes = zip((1, *ranks), outputs, inputs, (*ranks, 1), strict=True)
        first, *rest = [tl.reshape(part, size) for part, size in zip(parts, sizes, strict=True)]
        return [tl.reshape(first, (*kernel, *tl.shape(first))), *rest]

    def tables(
        self, weights: Tensor, branches: Sequence[Branch], covariance: Tensor | None
    ) -> dict[str | None, ErrorTable]:
        cuts = Cuts(weights)
        return {
            branch.shape: cuts.table(*modes_of(branch.shape))
            for branch in branches
            if max(branch.polynomials.caps) <= LARGEST_SIDE
        }

    def reconstruct(self, factors: Sequence[Tensor]) -> Tensor:
        *kernel, _, _, _, _ = tl.shape(factors[0])
        outputs, inputs = ([int(tl.shape(core)[axis]) for core in factors] for axis in (-3, -2))
        product = tl.ones((1, 1), **tl.context(factors[0]))
        for core in factors:
            matrix = tl.reshape(core, (tl.shape(product)[-1], -1))
            product = tl.reshape(tl.matmul(product, matrix), (-1, tl.shape(core)[-1]))
        pairs = [size for pair in zip(outputs, inputs, strict=True) for size in pair]
        order = [*range(1, len(pairs), 2), *range(0, len(pairs), 2)]
        tensor = tl.transpose(tl.reshape(product, pairs), order)
        return tl.reshape(tensor, (*kernel, prod(inputs), prod(outputs)))

    def needs_own_layers(self, layer: keras.Layer) -> bool:
        return True

    def factor_layers(self, layer: keras.Layer, factors: Sequence[Tensor]) -> list[Factor]:
        from rankline.src.compress.layers.tt_matrix import TTMatrix

        cores = [tl.to_numpy(core) for core in factors]
        cores[0] = cores[0].reshape(cores[0].shape[-4:])
        settings, weights = ending(layer)
        tt_matrix = TTMatrix(
            output_modes=[core.shape[1] for core in cores],
            input_modes=[core.shape[2] for core in cores],
            ranks=[core.shape[3] for core in cores[:-1]],
            strides=getattr(layer, "strides", ()),
            data_format=getattr(layer, "data_format", "channels_last"),
            name=self.layer_name(layer.name, "tt"),
            dtype=layer.dtype_policy,
            trainable=layer.trainable,
            **settings,
        )
        return [Factor(tt_matrix, [*cores, *weights])]


class Cuts:
    """The unfoldings of one kernel, which many tensor shapes share.

    A cut is identified by the products of the modes on its left: m = m_1..m_t and n = n_1..n_t.
    """

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights
        self.inputs, self.outputs = tl.shape(weights)[-2:]
        self.frames: dict[tuple[int, int, bool], Tensor] = {}
        self.tails: dict[tuple[int, int], NDArray[np.float64]] = {}

    def table(self, outputs: Modes, inputs: Modes) -> ErrorTable:
        """The exact error for d = 2 and d = 3, otherwise the sum of the tails at all cuts."""
        cuts = list(zip(accumulate(outputs[:-1], mul), accumulate(inputs[:-1], mul), strict=True))
        if len(outputs) != 3:
            tails = tuple(self.tail(m, n) for m, n in cuts)
            return ErrorTable(tails, EXACT if len(outputs) == 2 else BOUND)
        left, right = self.frame(*cuts[0]), self.frame(*cuts[1], on_the_right=True)
        tensor = reshuffled(self.weights, outputs, inputs)
        core = multi_mode_dot(tensor, [tl.transpose(left), tl.transpose(right)], modes=[0, 2])
        return ErrorTable((grid_of(tl.to_numpy(tl.sum(core**2, axis=1))),), EXACT)

    def tail(self, m: int, n: int) -> NDArray[np.float64]:
        """The share of the squared singular values beyond the first r, at [r - 1] for every r."""
        if (m, n) not in self.tails:
            gram = smaller_gram(self._matrix(m, n))
            self.tails[m, n] = spectral_tail(gram, len(gram))
        return self.tails[m, n]

    def frame(self, m: int, n: int, on_the_right: bool = False) -> Tensor:
        """The left or the right singular vectors, as columns."""
        key = (m, n, on_the_right)
        if key not in self.frames:
            matrix = self._matrix(m, n)
            self.frames[key] = left_frame(tl.transpose(matrix) if on_the_right else matrix)
        return self.frames[key]

    def _matrix(self, m: int, n: int) -> Tensor:
        return reshuffled(self.weights, (m, self.outputs // m), (n, self.inputs // n))


def modes_of(shape: str | None) -> tuple[Modes, Modes]:
    """Output and input modes of ``m_1x..xm_d:n_1x..xn_d``. Raises UserError if the text is not of that form."""
    try:
        outputs, inputs = (tuple(int(mode) for mode in part.split("x")) for part in str(shape).split(":"))
    except ValueError:
        raise UserError(
            f"t3f: a tensor shape is written as output modes, then input modes, like 4x8:8x4; got {shape!r}"
        ) from None
    return outputs, inputs


def reshuffled(weights: Tensor, outputs: Modes, inputs: Modes) -> Tensor:
    """The kernel (N, M), or (1, .., 1, N, M), as the tensor (m_1 n_1, .., m_d n_d)."""
    d = len(outputs)
    order = [axis for t in range(d) for axis in (d + t, t)]
    tensor = tl.transpose(tl.reshape(weights, (*inputs, *outputs)), order)
    return tl.reshape(tensor, tuple(m * n for m, n in zip(outputs, inputs, strict=True)))


def two_sided(tensor: Tensor, r1: int, r2: int) -> list[Tensor]:
    """The frames of both ends and the core between them: (d_1, r_1), (r_1, d_2, r_2), (r_2, d_3)."""
    left, right = left_frame(tl.unfold(tensor, 0))[:, :r1], left_frame(tl.unfold(tensor, 2))[:, :r2]
    core = multi_mode_dot(tensor, [tl.transpose(left), tl.transpose(right)], modes=[0, 2])
    return [left, core, tl.transpose(right)]


def tt_svd(tensor: Tensor, ranks: Sequence[int]) -> list[Tensor]:
    """Oseledets' algorithm 1: a core (r_{t-1} d_t, r_t) for every mode of the tensor, the last (r_{d-1}, d_d)."""
    frames, rest, left = [], tensor, 1
    for size, rank in zip(tl.shape(tensor), ranks, strict=False):
        matrix = tl.reshape(rest, (left * size, -1))
        frames.append(_padded(left_frame(matrix)[:, :rank], rank))
        rest, left = tl.matmul(tl.transpose(frames[-1]), matrix), rank
    return [*frames, rest]


def _padded(frame: Tensor, rank: int) -> Tensor:
    """The frame, padded with zero columns up to the rank."""
    rows, columns = tl.shape(frame)
    return tl.concatenate([frame, tl.zeros((rows, rank - columns), **tl.context(frame))], axis=1)
