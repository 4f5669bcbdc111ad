"""The interface of a factorization method on the weights' side: how it is computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import isfinite
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
import tensorly as tl

from rankline.src.compress.methods.factor import Factor
from rankline.src.compress.methods.kernel import check_applies
from rankline.src.compress.methods.numerics.tensor import Tensor
from rankline.src.dse import methods
from rankline.src.dse.error_table import EXACT, ErrorTable
from rankline.src.dse.errors import UserError
from rankline.src.dse.options import Options
from rankline.src.dse.space import Branch, Space
from rankline.src.dse.symbols import LayerShape, layer_shape

if TYPE_CHECKING:
    import keras

DTYPES = ("float32", "float64")


class Decomposition(ABC):
    """One way to factorize a layer's weights; ``name`` is the same as in ``dse.methods``.

    ``suffixes`` name the chain's layers, first to last: layer ``conv1`` becomes ``conv1_tucker_in``, .. A method may
    omit some of them for some layers, but never changes their order.
    """

    name: str
    suffixes: tuple[str, ...]
    uses_covariance: bool = False
    """Whether ``factorize`` and ``tables`` can take an input covariance and then minimise the output's error."""
    ends_in_outputs: bool = True
    """Whether the last axis of the last factor is the layer's outputs, so that these can be weighted individually."""

    def layer_name(self, original: str, suffix: str) -> str:
        """The name, or path, of one factor of the layer with that name or path."""
        return f"{original}_{self.name}_{suffix}"

    @abstractmethod
    def factorize(
        self, weights: Tensor, ranks: tuple[int, ...], shape: str | None, covariance: Tensor | None
    ) -> list[Tensor]:
        """The factors of validated float64 ``weights``, in float64; called by ``decompose``."""

    @abstractmethod
    def tables(
        self, weights: Tensor, branches: Sequence[Branch], covariance: Tensor | None
    ) -> dict[str | None, ErrorTable]:
        """The error tables of validated, nonzero float64 ``weights``; called by ``spectrum``.

        branches: the wanted tensor shapes, with their caps; a single one, of shape None, except for T3F. A shape that
        is too costly may be left out.
        """

    @abstractmethod
    def reconstruct(self, factors: Sequence[Tensor]) -> Tensor:
        """The kernel that the factors represent: (K_1, .., K_d, C, F) or (N, M), in the factors' dtype."""

    @abstractmethod
    def factor_layers(self, layer: keras.Layer, factors: Sequence[Tensor]) -> list[Factor]:
        """The chain that replaces ``layer``, with the same input and output shapes, first factor first.

        Bias and activation are kept by the last factor; strides, padding, dilation, data format, dtype policy
        and trainability are honoured. layer: a built Conv1D, Conv2D, Conv3D or Dense.
        """

    def rough(self, size: int) -> Decomposition:
        """The method with the effort that is enough to compare candidates on a kernel of ``size`` weights; itself where
        that is no less."""
        return self

    def caps(self, layer: LayerShape, shape: str | None) -> tuple[int, ...]:
        """The largest value of each rank. Raises UserError if the tensor shape is not possible."""
        if shape is not None:
            raise UserError(f"{self.name}: tensor shape {shape!r} is not possible here; only t3f has tensor shapes")
        ((_, polynomials),) = methods.get(self.name).polynomials(layer, Options())
        return polynomials.caps

    def decompose(
        self,
        weights: Tensor,
        ranks: Sequence[int],
        shape: str | None = None,
        dtype: str = "float32",
        covariance: Tensor | None = None,
    ) -> list[Tensor]:
        """The factors of a Keras kernel, computed in float64 and returned as ``dtype`` (float32 or float64).

        weights: (K_1, .., K_d, C, F) of a convolution, or (N, M) of a dense layer.
        ranks: one for each rank of the method, within its caps.
        shape: the tensor shape, for T3F only.
        covariance: the second moment (K C, K C) of the layer's input patches, rows in the order of ``weights.reshape(K
            C, F)``; if the method ``uses_covariance``, the factors then minimise the error of the layer's outputs.

        The factors of an all-zero kernel have a zero product. Raises UserError on weights that are not finite or have
        another number of axes, a method that does not apply, ranks outside the caps, an impossible shape, and a
        covariance of another size.
        """
        if dtype not in DTYPES:
            raise UserError(f"dtype must be one of {', '.join(DTYPES)}; got '{dtype}'")
        kernel = _kernel(weights)
        ranks = tuple(ranks)
        self._check(tuple(tl.shape(kernel)), ranks, shape)
        factors = self.factorize(kernel, ranks, shape, self._covariance(covariance, kernel))
        return [tl.tensor(factor, dtype=getattr(tl, dtype)) for factor in factors]

    def spectrum(
        self, weights: Tensor, options: Options | None = None, covariance: Tensor | None = None
    ) -> dict[str | None, ErrorTable]:
        """The error of every configuration of a Keras kernel, without decomposing any: see ``dse.error_table``.

        weights and covariance as in ``decompose``; options: those of the solution space. Errors are those of the
        outputs if the method uses the covariance, otherwise of the weights. All zero for an all-zero kernel. Raises
        UserError as ``decompose`` does.
        """
        kernel = _kernel(weights)
        layer = check_applies(self.name, tuple(tl.shape(kernel)))
        branches = Space(self.name, layer_shape(layer), options or Options()).branches
        if not float(tl.norm(kernel)):
            return {
                one.shape: ErrorTable(tuple(np.zeros(cap) for cap in one.polynomials.caps), EXACT) for one in branches
            }
        return self.tables(kernel, branches, self._covariance(covariance, kernel))

    def error(self, weights: Tensor, factors: Sequence[Tensor], covariance: Tensor | None = None) -> float:
        """Relative error of the factors' product W' (0 if W and W' are both zero).

        ||W - W'|| / ||W||, Frobenius; with the covariance S of the input patches, that of the layer's outputs: the
        square root of tr(D^T S D) / tr(W^T S W) with D = W - W'.
        """
        kernel = _kernel(weights)
        difference = kernel - tl.tensor(self.reconstruct(factors), dtype=tl.float64)
        lost, whole = (_energy(one, covariance) for one in (difference, kernel))
        return (lost / whole) ** 0.5 if lost else 0.0

    def _covariance(self, covariance: Tensor | None, kernel: Tensor) -> Tensor | None:
        """The validated covariance in float64; None if the method does not use it."""
        if covariance is None or not self.uses_covariance:
            return None
        checked = _floats(covariance)
        rows = len(tl.reshape(kernel, (-1, tl.shape(kernel)[-1])))
        if tuple(tl.shape(checked)) != (rows, rows):
            raise UserError(f"the covariance must be ({rows}, {rows}) for this kernel; got {tuple(tl.shape(checked))}")
        if not isfinite(float(tl.sum(checked))):
            raise UserError("the covariance holds NaN or infinity; check the calibration data")
        return checked

    def _check(self, kernel_shape: tuple[int, ...], ranks: tuple[int, ...], shape: str | None) -> None:
        layer = check_applies(self.name, kernel_shape)
        caps = self.caps(layer_shape(layer), shape)
        if len(ranks) != len(caps):
            raise UserError(f"{self.name} takes {len(caps)} rank(s) on a kernel of shape {kernel_shape}; got {ranks}")
        if not all(isinstance(r, Integral) and 1 <= r <= cap for r, cap in zip(ranks, caps, strict=True)):
            raise UserError(
                f"{self.name} on a kernel of shape {kernel_shape}: ranks must be whole numbers from 1 to {caps}; "
                f"got {ranks}"
            )


def _floats(covariance: Tensor) -> Tensor:
    """The covariance in float64, or in float32 if it is: of wide layers it can take hundreds of MiB."""
    if tl.get_backend() == "numpy":
        return np.asarray(covariance, np.float32 if getattr(covariance, "dtype", None) == np.float32 else np.float64)
    return tl.tensor(covariance, dtype=tl.float64)


def _kernel(weights: Tensor) -> Tensor:
    kernel = tl.tensor(weights, dtype=tl.float64)
    if not isfinite(float(tl.sum(tl.abs(kernel)))):
        raise UserError("the weights hold NaN or infinity; train or load the layer again before factorizing it")
    return kernel


def _energy(kernel: Tensor, covariance: Tensor | None) -> float:
    """||W||^2, or tr(W^T S W), the energy of the outputs (never below zero)."""
    matrix = tl.reshape(kernel, (-1, tl.shape(kernel)[-1]))
    if covariance is None:
        return float(tl.sum(matrix**2))
    return max(0.0, float(tl.sum(matrix * tl.matmul(_floats(covariance), matrix))))
