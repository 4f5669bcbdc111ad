"""A method's costs as sympy expressions, and as numbers for one layer.

Every metric is a polynomial in the ranks that is affine in each single rank; ``Polynomial`` holds its monomials as
numbers, for the numba kernels and for exact evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any

from rankline.src.dse.cost import Cost
from rankline.src.dse.symbols import LayerShape, axis_symbols, layer_symbols

if TYPE_CHECKING:
    import sympy as sp


@dataclass(frozen=True)
class Formula:
    """The costs of one sample through one factorized layer.

    params: weights (biases are kept by the last factor and counted on neither side);
    fm: elements of all feature maps that the factors produce;
    macs: multiply-accumulates (FLOPs = 2 macs);
    caps: the largest sensible value of each rank;
    modes: the sizes between neighbouring ranks of the chain, ends included (one more than ranks), which bound how much
        a rank can use of its neighbours; empty where ranks don't feed each other.
    """

    params: sp.Expr
    fm: sp.Expr
    macs: sp.Expr
    ranks: tuple[sp.Symbol, ...]
    caps: tuple[sp.Expr, ...]
    modes: tuple[sp.Expr, ...] = ()


@dataclass(frozen=True)
class Polynomial:
    """Integer monomials: the value is the sum over t of coefficients[t] * prod of the ranks in masks[t].

    Bit j of a mask stands for rank j.
    """

    masks: tuple[int, ...]
    coefficients: tuple[int, ...]

    def at(self, ranks: tuple[int, ...]) -> int:
        """The exact value (Python integers do not overflow)."""
        return sum(
            coefficient * prod(r for j, r in enumerate(ranks) if mask >> j & 1)
            for mask, coefficient in zip(self.masks, self.coefficients, strict=True)
        )


@dataclass(frozen=True)
class Polynomials:
    """A formula with one layer's numbers substituted, so that only the ranks are free. factors: layers in the chain."""

    params: Polynomial
    fm: Polynomial
    flops: Polynomial
    caps: tuple[int, ...]
    modes: tuple[int, ...]
    factors: int

    def cost(self, ranks: tuple[int, ...]) -> Cost:
        """The exact cost at the given ranks."""
        return Cost(self.params.at(ranks), self.fm.at(ranks), self.flops.at(ranks), self.factors)


def chain_caps(modes: tuple[sp.Expr, ...]) -> tuple[sp.Expr, ...]:
    """Rank caps of a tensor train over ``modes``: at each cut, the smaller product of the two sides."""
    import sympy as sp

    return tuple(sp.Min(prod(modes[:cut]), prod(modes[cut:])) for cut in range(1, len(modes)))


@cache
def original_formula(axes: int) -> Formula:
    """The costs of an original layer: a convolution with ``axes`` spatial axes, or dense (0)."""
    kernel, _, outputs = axis_symbols(axes)
    params, fm, macs = _original(*layer_symbols(), kernel, outputs)
    return Formula(params, fm, macs, ranks=(), caps=())


def original_cost(shape: LayerShape) -> Cost:
    """Cost of the layer as it is."""
    numbers = shape.in_channels, shape.out_channels, shape.positions
    params, fm, macs = _original(*numbers, shape.kernel, shape.out_size)
    return Cost(params, fm, 2 * macs)


def _original(C: Any, F: Any, T: Any, kernel: Sequence[Any], outputs: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Params, feature-map elements and multiply-accumulates, of symbols or of numbers."""
    out = T * prod(outputs)
    return prod(kernel) * C * F, out * F, out * prod(kernel) * C * F


@cache
def _terms(formula: Formula) -> tuple[tuple[tuple[int, ...], ...], Callable[..., list[list[int]]]]:
    """Masks of each metric's monomials, and a compiled function for all the numbers of a formula."""
    import sympy as sp

    masks: list[tuple[int, ...]] = []
    wanted: list[list[sp.Expr]] = []
    for expression in (formula.params, formula.fm, 2 * formula.macs):
        terms = sp.Poly(expression, *formula.ranks).terms() if formula.ranks else [((), sp.expand(expression))]
        if any(power > 1 for powers, _ in terms for power in powers):
            raise ValueError(f"{expression} is not affine in each rank")
        masks.append(tuple(sum(power << j for j, power in enumerate(powers)) for powers, _ in terms))
        wanted.append([coefficient for _, coefficient in terms])
    wanted = [[sp.sympify(e) for e in group] for group in (*wanted, formula.caps, formula.modes)]
    symbols = sorted(set().union(*(e.free_symbols for group in wanted for e in group)), key=str)
    names = {symbol: sp.Symbol(f"s{j}") for j, symbol in enumerate(symbols)}
    renamed = [[e.xreplace(names) for e in group] for group in wanted]
    numbers = sp.lambdify(list(names.values()), renamed, modules="math")
    return tuple(masks), lambda values: numbers(*(values[symbol] for symbol in symbols))


def substitute(formula: Formula, values: Mapping[sp.Symbol, int], factors: int = 1) -> Polynomials:
    """The formula's exact polynomials in the ranks for a layer's ``values``. factors: layers in the chain."""
    masks, numbers = _terms(formula)
    *coefficients, caps, modes = numbers(values)
    params, fm, flops = (
        Polynomial(mask, tuple(coefficient)) for mask, coefficient in zip(masks, coefficients, strict=True)
    )
    return Polynomials(params, fm, flops, tuple(caps), tuple(modes), factors)
