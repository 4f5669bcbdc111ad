"""Formulas and lines against a brute-force walk over every configuration."""

from __future__ import annotations

import hashlib
from math import prod

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from rankline.src.dse import methods
from rankline.src.dse.chain import cost_of, whole
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import Layer, conv, dense
from rankline.src.dse.lines import Lines, lines_of
from rankline.src.dse.options import Options
from rankline.src.dse.space import FORMULA_VERSION, Space, spaces_of
from rankline.src.dse.symbols import layer_shape
from tests.helpers import brute
from tests.helpers.layers import layers_with_method


@settings(max_examples=150, deadline=None)
@given(layers_with_method(), st.data())
def test_a_chain_of_factors_costs_what_the_formula_says(chosen: tuple[Layer, str], data: st.DataObject) -> None:
    layer, method = chosen
    one = data.draw(st.sampled_from(list(brute.configurations(layer, method, Options(t3f_order="all")))))
    links = list(methods.get(method).chain(layer, one.ranks, one.shape))
    assert cost_of(links, layer.positions) == one.cost
    last = links[-1]
    assert prod(last.sizes) * last.channels == prod(layer.out_size) * layer.out_channels
    assert whole(layer).cost(layer.positions) == brute.original(layer)


def space_of(layer: Layer, method: str, **options: object) -> Space:
    return Space(method, layer_shape(layer), Options(**options))  # type: ignore[arg-type]


def expanded(part: Lines) -> list[tuple[object, ...]]:
    """Every configuration on the lines: shape, ranks, params, fm, flops, better, useful."""
    rows = []
    for i in range(len(part)):
        p0, p1, m0, m1, f0, f1 = part.coefficients[i].tolist()
        for k in range(1, part.cap + 1):
            ranks = part.ranks[i].tolist()
            ranks[part.free] = part.step * k
            useful = bool(part.useful[i, 0] <= k <= part.useful[i, 1])
            values = (p0 + p1 * k, m0 + m1 * k, f0 + f1 * k, bool(k <= part.better[i]), useful)
            rows.append((part.shape or "", tuple(ranks), *values))
    return rows


@settings(max_examples=120, deadline=None)
@given(layers_with_method(), st.integers(1, 3), st.sampled_from(["aligned", "all"]), st.sampled_from([None, 2, 5]))
def test_lines_are_every_configuration_exactly(
    chosen: tuple[Layer, str], rank_multiple: int, order: str, max_rank: int | None
) -> None:
    layer, method = chosen
    options = Options(rank_multiple=rank_multiple, t3f_order=order, max_rank=max_rank)
    space = Space(method, layer_shape(layer), options)
    parts = list(lines_of(space))
    wanted = [
        (one.shape or "", one.ranks, one.cost.params, one.cost.fm, one.cost.flops, one.better, one.useful)
        for one in brute.configurations(layer, method, options)
    ]
    assert sorted(row for part in parts for row in expanded(part)) == sorted(wanted)
    assert space.n_total == sum(part.n_total for part in parts) == len(wanted)
    assert sum(part.n_better for part in parts) == sum(row[5] for row in wanted)
    assert sum(part.n_useful for part in parts) == sum(row[6] for row in wanted)
    assert space.n_lines == sum(len(part) for part in parts)


@settings(max_examples=60, deadline=None)
@given(layers_with_method(), st.data())
def test_polynomials_equal_the_walk_over_the_factors(chosen: tuple[Layer, str], data: st.DataObject) -> None:
    layer, method = chosen
    space = space_of(layer, method)
    assert space.original == brute.original(layer)
    branch = data.draw(st.sampled_from(space.branches))
    ranks = tuple(data.draw(st.integers(1, cap)) for cap in branch.polynomials.caps)
    assert branch.polynomials.cost(ranks) == brute.costs(layer, method, ranks, branch.shape)


@pytest.mark.parametrize("method", methods.METHODS.values(), ids=lambda method: method.name)
def test_every_metric_is_affine_with_a_positive_slope_in_each_rank(method: methods.Method) -> None:
    for axes in (2,) if method.name in ("spatial_svd", "t3f") else (1, 2, 3):
        formula = method.formula(axes)
        for metric in (formula.params, formula.fm, formula.macs):
            for rank in formula.ranks:
                assert sp.degree(metric, rank) == 1
                slope = sp.diff(metric, rank)
                assert all(coefficient > 0 for coefficient in sp.Poly(slope, *slope.free_symbols).coeffs())


REFERENCE = [
    (conv("a", (3, 3), 256, 512, (8, 8)), "tucker", 131_072, 126_749),
    (conv("a", (3, 3), 256, 512, (8, 8)), "cp", 2_304, 1_524),
    (conv("a", (3, 3), 256, 512, (8, 8), strides=2), "cp", 2_304, 763),
    (conv("a", (3, 3), 256, 512, (8, 8)), "tt", 100_663_296, 90_722_151),
    (conv("b", (3,), 512, 1024, (8,)), "tucker", 524_288, 412_935),
    (conv("b", (3,), 512, 1024, (8,)), "tt", 524_288, 412_935),
    (conv("b", (3,), 512, 1024, (8,)), "cp", 1_536, 1_022),
    (dense("c", 400, 120), "svd", 120, 92),
    (dense("c", 400, 120), "qr", 120, 92),
]


@pytest.mark.parametrize(("layer", "method", "total", "better"), REFERENCE)
def test_counts_equal_the_reference_counts_of_the_design(layer: Layer, method: str, total: int, better: int) -> None:
    parts = list(lines_of(space_of(layer, method)))
    assert sum(part.n_total for part in parts) == total
    assert sum(part.n_better for part in parts) == better


def test_the_largest_published_space_is_262144_lines() -> None:
    space = space_of(conv("d", (3, 3), 512, 512, (8, 8)), "tt")
    assert space.n_total == 402_653_184
    assert space.n_lines == 262_144
    assert [branch.free for branch in space.branches] == [1]


def test_coefficients_beyond_32_bits_are_exact() -> None:
    layer = dense("huge", 100_000, 100_000, positions=1_000)
    (part,) = lines_of(space_of(layer, "svd"))
    top = part.coefficients[0, 4:] @ np.array([1, part.cap])
    assert int(top) == 2 * 1_000 * 100_000 * (100_000 + 100_000)
    assert space_of(layer, "svd").original.flops == 2 * 1_000 * 100_000**2


def test_a_space_beyond_64_bits_is_refused() -> None:
    with pytest.raises(UserError, match="64-bit"):
        list(lines_of(space_of(dense("absurd", 10**9, 10**9, positions=10**6), "svd")))


def test_a_space_past_max_lines_is_refused_with_the_ways_to_restrict_it() -> None:
    layer = dense("wide", 4096, 4096)
    with pytest.raises(UserError, match=r"32,356 lines.*t3f-order aligned.*--max-rank"):
        list(lines_of(space_of(layer, "t3f", max_lines=1000)))


def test_a_rank_multiple_above_a_cap_leaves_nothing() -> None:
    assert list(lines_of(space_of(conv("thin", (3, 3), 4, 64, (8, 8)), "tucker", rank_multiple=8))) == []


def test_methods_that_would_repeat_svd_leave_1x1_convolutions_alone() -> None:
    names = [space.method for space in spaces_of(conv("p", (1, 1), 8, 8, (4, 4)))]
    assert names == ["tucker", "svd", "qr", "t3f"]
    assert [space.method for space in spaces_of(dense("d", 7, 7))] == ["svd", "qr"]


def test_equal_shapes_share_a_space_whatever_their_strides() -> None:
    one = conv("one", (3, 3), 8, 8, (8, 8), strides=1, padding="same")
    two = conv("two", (3, 3), 8, 8, (8, 8), strides=1, padding="causal", out_size=(8, 8))
    assert [space.digest for space in spaces_of(one)] == [space.digest for space in spaces_of(two)]


def test_a_changed_formula_needs_a_new_formula_version() -> None:
    """When this fails: raise FORMULA_VERSION, so that stored spaces are computed anew, and put the new digest here."""
    examples = [
        conv("c1", (3,), 4, 6, (9,), strides=2),
        conv("c2", (3, 5), 4, 6, (9, 8), strides=(2, 1)),
        conv("c3", (3, 1, 2), 4, 6, (9, 8, 7), strides=2),
        conv("p", (1, 1), 4, 6, (9, 8), strides=2),
        dense("d", 12, 16, positions=3),
    ]
    numbers = [
        (
            space.method,
            branch.shape,
            branch.steps,
            branch.free,
            branch.polynomials.modes,
            metric,
            tuple(sorted(zip(polynomial.masks, polynomial.coefficients, strict=True))),
        )
        for layer in examples
        for space in spaces_of(layer)
        for branch in space.branches
        for metric, polynomial in vars(branch.polynomials).items()
        if metric in ("params", "fm", "flops")
    ]
    digest = hashlib.sha256(repr(numbers).encode()).hexdigest()[:16]
    assert (FORMULA_VERSION, digest) == (1, "a668c114e2fa56ae")
