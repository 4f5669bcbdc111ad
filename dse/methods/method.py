"""The interface of a factorization method on the analytical side: what it costs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cache

from rankline.src.dse.chain import Link
from rankline.src.dse.formula import Formula, Polynomials, substitute
from rankline.src.dse.layer import Layer
from rankline.src.dse.options import Options
from rankline.src.dse.symbols import LayerShape


class Method(ABC):
    """One way to factorize a layer.

    ``name`` is what users type and the database stores, ``title`` what figures show.
    """

    name: str
    title: str

    @abstractmethod
    def refuses(self, layer: Layer) -> str | None:
        """Why the method does not apply to the layer; None if it does."""

    @abstractmethod
    def formula(self, axes: int) -> Formula:
        """The costs for a layer with ``axes`` spatial axes that have a factor (0: a matrix)."""

    def factors(self, axes: int, shape: str | None = None) -> int:
        """Number of layers in the chain; for T3F, the cores of the tensor shape."""
        return 2

    @abstractmethod
    def chain(self, layer: Layer, ranks: tuple[int, ...], shape: str | None) -> Iterator[Link]:
        """The factors in the order in which a sample passes through them. shape: T3F's tensor shape, otherwise None."""

    def polynomials(self, shape: LayerShape, options: Options) -> Iterator[tuple[str | None, Polynomials]]:
        """The costs with the layer's numbers substituted, for each possible tensor shape.

        Only T3F has several; the other methods yield once, with None for the shape.
        """
        yield None, substitute(_formula(self, shape.axes), shape.values(), self.factors(shape.axes))


@cache
def _formula(method: Method, axes: int) -> Formula:
    """The method's formula, cached: sympy takes longer to build it than a layer's lines take to compute."""
    return method.formula(axes)


def spatial_only(title: str, layer: Layer) -> str | None:
    """The refusal of a method that only repeats SVD if the kernel is a matrix; None if it applies."""
    if layer.kind != "conv":
        return f"{title} factorizes convolutions; use SVD, QR or T3F"
    return f"{title} on a 1x1 convolution repeats SVD; use SVD, QR or T3F" if layer.is_pointwise else None


def matrix_only(title: str, layer: Layer) -> str | None:
    """The refusal of a method that needs a matrix (dense layer or 1x1 convolution); None if it applies."""
    return None if layer.is_pointwise else f"{title} factorizes matrices; use Tucker, CP, TT or SVD"
