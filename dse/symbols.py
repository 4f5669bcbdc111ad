"""The symbols that every formula is written in, and the numbers that a layer gives them.

Sympy is loaded where a formula is first needed: it takes longer than most questions to a database.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import prod
from typing import TYPE_CHECKING

from rankline.src.dse.layer import Layer

if TYPE_CHECKING:
    import sympy as sp


@cache
def layer_symbols() -> tuple[sp.Symbol, sp.Symbol, sp.Symbol]:
    """C input channels, F output channels, T positions."""
    import sympy as sp

    C, F, T = sp.symbols("C F T", integer=True, positive=True)
    return C, F, T


@cache
def axis_symbols(axes: int) -> tuple[tuple[sp.Symbol, ...], tuple[sp.Symbol, ...], tuple[sp.Symbol, ...]]:
    """Kernel sizes K_j, input sizes X_j and output sizes X'_j of ``axes`` spatial axes."""
    import sympy as sp

    numbers = range(1, axes + 1)
    positive = {"integer": True, "positive": True}
    return (
        tuple(sp.Symbol(f"K_{j}", **positive) for j in numbers),
        tuple(sp.Symbol(f"X_{j}", **positive) for j in numbers),
        tuple(sp.Symbol(f"X'_{j}", **positive) for j in numbers),
    )


@cache
def rank_symbols(count: int) -> tuple[sp.Symbol, ...]:
    """r_1 .. r_count."""
    import sympy as sp

    return tuple(sp.Symbol(f"r_{j}", integer=True, positive=True) for j in range(1, count + 1))


@cache
def mode_symbols(cores: int) -> tuple[tuple[sp.Symbol, ...], tuple[sp.Symbol, ...]]:
    """Output modes m_t and input modes n_t of a TT-matrix with ``cores`` cores."""
    import sympy as sp

    numbers = range(1, cores + 1)
    return (
        tuple(sp.Symbol(f"m_{t}", integer=True, positive=True) for t in numbers),
        tuple(sp.Symbol(f"n_{t}", integer=True, positive=True) for t in numbers),
    )


@dataclass(frozen=True)
class LayerShape:
    """What the costs of a layer's factorizations depend on: equal shapes share their spaces.

    Spatial axes with a kernel of size 1 have no factor of their own, and a stride on them is taken by the
    input factor: such an axis only multiplies the ``positions``. So a 1x1 convolution has no axes left, and
    is a matrix applied at as many positions as it has outputs, exactly like a dense layer on a token axis.
    """

    in_channels: int
    out_channels: int
    kernel: tuple[int, ...]
    in_size: tuple[int, ...]
    out_size: tuple[int, ...]
    positions: int

    @property
    def axes(self) -> int:
        """Number of spatial axes that have a factor."""
        return len(self.kernel)

    def values(self) -> dict[sp.Symbol, int]:
        """The number of every symbol in a formula with this many axes."""
        C, F, T = layer_symbols()
        kernel, inputs, outputs = axis_symbols(self.axes)
        pairs = zip((*kernel, *inputs, *outputs), (*self.kernel, *self.in_size, *self.out_size), strict=True)
        return {C: self.in_channels, F: self.out_channels, T: self.positions, **dict(pairs)}


def layer_shape(layer: Layer) -> LayerShape:
    """The shape of a convolution or dense layer (see LayerShape)."""
    axes = [j for j, size in enumerate(layer.kernel) if size > 1]
    rest = [j for j, size in enumerate(layer.kernel) if size == 1]
    return LayerShape(
        in_channels=layer.in_channels,
        out_channels=layer.out_channels,
        kernel=tuple(layer.kernel[j] for j in axes),
        in_size=tuple(layer.in_size[j] for j in axes),
        out_size=tuple(layer.out_size[j] for j in axes),
        positions=layer.positions * prod(layer.out_size[j] for j in rest),
    )


@cache
def sizes_along(axes: int) -> tuple[sp.Expr, ...]:
    """S_0 = X .. S_d = X': the feature map's size before the first and after each spatial factor."""
    _, inputs, outputs = axis_symbols(axes)
    return tuple(prod(outputs[:j]) * prod(inputs[j:]) for j in range(axes + 1))
