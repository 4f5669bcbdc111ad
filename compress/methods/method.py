"""The interface of a factorization method on the weights' side: how it is done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import isfinite
from numbers import Integral
from typing import TYPE_CHECKING

import tensorly as tl

from compress.methods.factor import Factor
from compress.methods.gram import Tensor
from dse import methods
from dse.errors import UserError
from dse.layer import Layer, conv, dense
from dse.options import Options
from dse.symbols import layer_shape

if TYPE_CHECKING:
    import keras

DTYPES = {"float32": tl.float32, "float64": tl.float64}


class Decomposition(ABC):
    """One way to factorize a layer's weights; ``name`` is the same as in ``dse.methods``.

    ``suffixes`` are what the chain's layers are called by, first to last: layer ``conv1`` becomes
    ``conv1_tucker_in``, .. A method may leave out some for some layers, never change their order.
    """

    name: str
    suffixes: tuple[str, ...]

    def layer_name(self, original: str, suffix: str) -> str:
        """The name, or path, of one factor of the layer of that name or path."""
        return f"{original}_{self.name}_{suffix}"

    @abstractmethod
    def factorize(self, weights: Tensor, ranks: tuple[int, ...], shape: str | None) -> list[Tensor]:
        """The factors of checked float64 ``weights``, in float64; called by ``decompose``."""

    @abstractmethod
    def reconstruct(self, factors: Sequence[Tensor]) -> Tensor:
        """The kernel that the factors stand for: (K_1, .., K_d, C, F) or (N, M), in the factors' dtype."""

    @abstractmethod
    def factor_layers(self, layer: keras.Layer, factors: Sequence[Tensor]) -> list[Factor]:
        """The chain that replaces ``layer``, with the same input and output shapes, first factor first.

        Bias and activation are kept by the last factor; strides, padding, dilation, data format, dtype policy
        and trainability are honoured. layer: a built Conv1D, Conv2D, Conv3D or Dense.
        """

    def decompose(
        self, weights: Tensor, ranks: Sequence[int], shape: str | None = None, dtype: str = "float32"
    ) -> list[Tensor]:
        """The factors of a Keras kernel, computed in float64 and returned as ``dtype`` (float32 or float64).

        weights: (K_1, .., K_d, C, F) of a convolution, (N, M) of a dense layer; ranks: one for each rank of the
        method, within its caps (design section 2); shape: the tensor shape, for T3F alone.
        An all-zero kernel is allowed: its factors' product is zero.
        Raises UserError on weights that are not finite or of another number of axes, a method that does not
        apply, ranks outside the caps, a shape that is not possible.
        """
        if dtype not in DTYPES:
            raise UserError(f"dtype must be one of {', '.join(DTYPES)}; got '{dtype}'")
        kernel = tl.tensor(weights, dtype=tl.float64)
        if not isfinite(float(tl.sum(tl.abs(kernel)))):
            raise UserError("the weights hold NaN or infinity; train or load the layer again before factorizing it")
        ranks = tuple(ranks)
        self._check(tuple(tl.shape(kernel)), ranks, shape)
        return [tl.tensor(factor, dtype=DTYPES[dtype]) for factor in self.factorize(kernel, ranks, shape)]

    def error(self, weights: Tensor, factors: Sequence[Tensor]) -> float:
        """Relative Frobenius error ||W - W'|| / ||W|| of the factors' product W' (0 where both are zero)."""
        kernel = tl.tensor(weights, dtype=tl.float64)
        difference = float(tl.norm(kernel - tl.tensor(self.reconstruct(factors), dtype=tl.float64)))
        return difference / float(tl.norm(kernel)) if difference else 0.0

    def _check(self, kernel_shape: tuple[int, ...], ranks: tuple[int, ...], shape: str | None) -> None:
        method, layer = methods.get(self.name), _layer(kernel_shape)
        if reason := method.refuses(layer):
            raise UserError(f"a kernel of shape {kernel_shape}: {reason}")
        branches = dict(method.polynomials(layer_shape(layer), Options(t3f_order="all")))
        if shape not in branches:
            possible = ", ".join(str(name) for name in list(branches)[:10])
            raise UserError(f"{self.name}: tensor shape {shape!r} is not possible here. Possible: {possible}")
        caps = branches[shape].caps
        if len(ranks) != len(caps):
            raise UserError(f"{self.name} takes {len(caps)} rank(s) on a kernel of shape {kernel_shape}; got {ranks}")
        if not all(isinstance(r, Integral) and 1 <= r <= cap for r, cap in zip(ranks, caps, strict=True)):
            raise UserError(
                f"{self.name} on a kernel of shape {kernel_shape}: ranks must be whole numbers from 1 to {caps}; "
                f"got {ranks}"
            )


def _layer(kernel_shape: tuple[int, ...]) -> Layer:
    """A layer with that kernel; its sizes don't matter, because caps depend on the kernel alone."""
    if not 2 <= len(kernel_shape) <= 5 or 0 in kernel_shape:
        raise UserError(f"a kernel must be (N, M), or (C, F) after 1 to 3 sizes; got shape {kernel_shape}")
    *kernel, inputs, outputs = kernel_shape
    if not kernel:
        return dense("kernel", inputs, outputs)
    return conv("kernel", tuple(kernel), inputs, outputs, in_size=tuple(kernel))
