"""T3F: a TT-matrix over factorizations M = m_1..m_d and N = n_1..n_d of a matrix's outputs and inputs.

Novikov et al., "Tensorizing Neural Networks", NeurIPS 2015. The last core is contracted first, as the t3f
library does (Novikov et al., JMLR 21, 2020).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from math import isqrt, prod

from rankline.src.dse.chain import CORE, Link
from rankline.src.dse.formula import Formula, Polynomials, chain_caps, substitute
from rankline.src.dse.layer import Layer
from rankline.src.dse.methods.method import Method, matrix_only
from rankline.src.dse.options import Options
from rankline.src.dse.symbols import LayerShape, layer_symbols, mode_symbols, rank_symbols


class T3F(Method):
    name = "t3f"
    title = "T3F"

    def refuses(self, layer: Layer) -> str | None:
        if reason := matrix_only(self.title, layer):
            return reason
        for what, count in (("outputs", layer.out_channels), ("inputs", layer.in_channels)):
            if not any(factorizations(count, 2)):
                return f"T3F needs {what} with at least two factors of 2 or more; {count} has none"
        return None

    def formula(self, axes: int) -> Formula:
        """The costs with ``axes`` cores (T3F has no spatial axes of its own)."""
        return _formula(axes)

    def polynomials(self, shape: LayerShape, options: Options) -> Iterator[tuple[str | None, Polynomials]]:
        _, _, T = layer_symbols()
        for outputs, inputs in tensor_shapes(shape.out_channels, shape.in_channels, options):
            m, n = mode_symbols(len(outputs))
            values = dict(zip((T, *m, *n), (shape.positions, *outputs, *inputs), strict=True))
            yield shape_text(outputs, inputs), substitute(_formula(len(outputs)), values, factors=len(outputs))

    def factors(self, axes: int, shape: str | None = None) -> int:
        return (shape or "").partition(":")[0].count("x") + 1

    def chain(self, layer: Layer, ranks: tuple[int, ...], shape: str | None) -> Iterator[Link]:
        m, n = (tuple(map(int, modes.split("x"))) for modes in (shape or "").split(":"))
        bounds = (1, *ranks, 1)
        for t in reversed(range(len(m))):
            left, right = bounds[t], bounds[t + 1]
            sizes = (*layer.out_size, prod(n[:t]), prod(m[t + 1 :]))
            yield Link(f"core {t + 1}", CORE, (left, m[t], n[t], right), sizes, left * m[t])


@cache
def _formula(cores: int) -> Formula:
    import sympy as sp

    _, _, T = layer_symbols()
    m, n = mode_symbols(cores)
    inner = rank_symbols(cores - 1)
    ranks = (sp.Integer(1), *inner, sp.Integer(1))
    params, fm, macs = sp.Integer(0), sp.Integer(0), sp.Integer(0)
    for t in range(cores):
        left, right = ranks[t], ranks[t + 1]
        params += left * m[t] * n[t] * right
        fm += T * left * prod(m[t:]) * prod(n[:t])
        macs += T * left * right * prod(m[t:]) * prod(n[: t + 1])
    modes = tuple(a * b for a, b in zip(m, n, strict=True))
    return Formula(params, fm, macs, ranks=inner, caps=chain_caps(modes), modes=modes)


def factorizations(number: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Every ordered way to write ``number`` as a product of ``parts`` factors of 2 or more."""
    if parts == 1:
        if number >= 2:
            yield (number,)
        return
    for first in _divisors(number):
        for rest in factorizations(number // first, parts - 1):
            yield (first, *rest)


def _divisors(number: int) -> list[int]:
    """Those of 2 or more, in order."""
    small = [one for one in range(1, isqrt(number) + 1) if number % one == 0]
    return sorted({*small, *(number // one for one in small)})[1:]


def tensor_shapes(outputs: int, inputs: int, options: Options) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every pair of factorizations (m, n) that the options allow, fewest cores first."""
    for cores in sorted(set(options.t3f_cores)):
        left, right = factorizations(outputs, cores), factorizations(inputs, cores)
        if options.t3f_order != "all":
            left = (m for m in left if list(m) == sorted(m, reverse=True))
            right = (n for n in right if list(n) == sorted(n))
        yield from product(left, right)


def shape_text(outputs: tuple[int, ...], inputs: tuple[int, ...]) -> str:
    """``m_1x..xm_d:n_1x..xn_d``, outputs first, as the database stores it."""
    return ":".join("x".join(map(str, modes)) for modes in (outputs, inputs))
