"""The error-preserving correction of CP against alternating least squares alone: its error, its growth, its digits."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankline.src.compress.methods.cp import CP
from rankline.src.compress.methods.numerics.als import fit
from rankline.src.compress.methods.numerics.slices import slice_svd
from rankline.src.compress.methods.numerics.stable import SLACK, corrected, growth
from rankline.src.compress.methods.numerics.sweep import rebuilt
from tests.compress.methods.test_cp import decaying, of_rank
from tests.compress.methods.test_rounding import computed, exact

PLAIN, STABLE = CP(stable=False), CP()
KERNELS = [((3, 3, 16, 24), 30), ((3, 3, 12, 12), 20), ((7, 24, 16), 20), ((3, 3, 3, 6, 8), 20), ((3, 1, 16, 12), 12)]

pytestmark = pytest.mark.filterwarnings("ignore::rankline.src.compress.methods.cp.ConvergenceWarning")

Arrays = list[NDArray[np.float64]]


def columns(factors: Arrays) -> Arrays:
    """The columns (n, r) of CP's factors."""
    *most, last = factors
    return [*(one.reshape(-1, one.shape[-1]) for one in most), last.T]


def both(shape: tuple[int, ...], rank: int, seed: int = 0) -> tuple[NDArray[np.float64], Arrays, Arrays]:
    """A kernel, and its factors as least squares leave them and as they are corrected."""
    weights = decaying(shape, seed)
    plain, stable = (one.decompose(weights, (rank,), dtype="float64") for one in (PLAIN, STABLE))
    return weights, plain, stable


@pytest.mark.parametrize(("shape", "rank"), KERNELS)
@pytest.mark.parametrize("seed", range(2))
def test_growth_is_at_most_half_that_of_least_squares_at_an_error_within_a_hundredth(
    shape: tuple[int, ...], rank: int, seed: int
) -> None:
    weights, plain, stable = both(shape, rank, seed)
    assert STABLE.error(weights, stable) <= 1.01 * PLAIN.error(weights, plain)
    assert growth(columns(stable)) < growth(columns(plain)) / 2


def changes(factors: Arrays, size: float) -> float:
    """The mean square change of the kernel, relative to it, where all entries are off by a share of this size."""
    rng = np.random.default_rng(0)
    kernel = STABLE.reconstruct(factors)
    moved = [
        STABLE.reconstruct([one * (1 + size * rng.standard_normal(one.shape)) for one in factors]) for _ in range(30)
    ]
    return float(np.mean([((one - kernel) ** 2).sum() for one in moved]) / (kernel**2).sum())


@pytest.mark.parametrize(("shape", "rank"), KERNELS)
def test_errors_of_the_factors_change_the_kernel_as_much_as_growth_says_and_less_than_before(
    shape: tuple[int, ...], rank: int
) -> None:
    """With the number of factors and the square of the errors' size, to first order in it."""
    _, plain, stable = both(shape, rank)
    found = {}
    for name, factors in {"plain": plain, "stable": stable}.items():
        found[name] = changes(factors, 1e-4)
        # A mean over 30 draws, of a few dozen terms of about the same size each.
        assert found[name] == pytest.approx(1e-8 * len(factors) * growth(columns(factors)), rel=0.2)
    assert found["stable"] < found["plain"] / 2


def test_a_float32_chain_is_nearer_to_its_reconstruction() -> None:
    """By the square root of what growth falls by, which is 4 or more here; not all roundings are of the factors."""
    layer = keras.layers.Conv2D(24, (3, 3), padding="same")
    layer.build((None, 8, 8, 16))
    x = np.random.default_rng(1).standard_normal((8, 8, 8, 16)).astype("float32")
    _, plain, stable = both((3, 3, 16, 24), 30)
    away = []
    for factors in (plain, stable):
        singles = [one.astype("float32") for one in factors]
        wanted = exact(STABLE, layer, singles, x)
        outputs, _ = computed(STABLE, layer, singles, x)
        away.append(np.sqrt(np.mean((outputs - wanted) ** 2) / np.mean(wanted**2)))
    assert away[1] < away[0] / 1.5


@pytest.mark.parametrize("shape", [(3, 3, 8, 12), (5, 9, 7), (2, 3, 2, 6, 5), (3, 1, 6, 8)])
def test_a_single_term_stays_as_it_is(shape: tuple[int, ...]) -> None:
    _, plain, stable = both(shape, 1)
    for one, other in zip(plain, stable, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("shape", [(3, 3, 4, 5), (5, 6, 4)])
def test_terms_that_give_the_kernel_exactly_are_orthogonal_and_stay(shape: tuple[int, ...]) -> None:
    weights = decaying(shape)
    rank = int(np.prod(shape[:-2])) * min(shape[-2:])
    factors = corrected(weights, slice_svd(weights).terms(rank), 40)
    assert growth(factors) == pytest.approx(1)
    np.testing.assert_allclose(rebuilt(factors), weights, atol=1e-12)


def test_a_kernel_of_low_rank_keeps_its_error() -> None:
    weights = of_rank(3, (3, 3, 8, 12))
    plain, stable = (one.error(weights, one.decompose(weights, (3,), dtype="float64")) for one in (PLAIN, STABLE))
    assert stable <= (1 + SLACK) * plain < 1e-3


def test_a_kernel_of_zeros_has_factors_of_zeros() -> None:
    zeros = np.zeros((3, 3, 4, 5))
    assert not STABLE.reconstruct(STABLE.decompose(zeros, (2,))).any()
    assert not rebuilt(corrected(zeros, [np.zeros((n, 2)) for n in (4, 3, 3, 5)], 40)).any()


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(2, 4), min_size=3, max_size=5).map(tuple),
    rank=st.integers(1, 8),
    repeated=st.booleans(),
    sweeps=st.integers(1, 20),
    seed=st.integers(0, 2**32 - 1),
)
def test_neither_the_error_nor_growth_exceeds_what_is_allowed(
    shape: tuple[int, ...], rank: int, repeated: bool, sweeps: int, seed: int
) -> None:
    """repeated: every term is there twice, so that all Gram matrices are singular."""
    rng = np.random.default_rng(seed)
    *kernel, inputs, outputs = shape
    weights = rng.standard_normal(shape)
    start = fit(weights, [rng.standard_normal((n, rank)) for n in (inputs, *kernel, outputs)], 5).factors
    if repeated:
        start = [*(np.hstack([one, one]) for one in start[:-1]), np.hstack([start[-1], start[-1]]) / 2]
    found = corrected(weights, start, sweeps)
    before, after = (np.linalg.norm(weights - rebuilt(one)) for one in (start, found))
    # What is equal may differ by the rounding of a sum.
    assert after <= (1 + SLACK) * before + 1e-12
    assert growth(found) <= growth(start) * (1 + 1e-12)


def test_growth_is_that_of_terms_written_out() -> None:
    rng = np.random.default_rng(0)
    factors = [rng.standard_normal((n, 3)) for n in (4, 2, 3, 5)]
    terms = [rebuilt([one[:, [place]] for one in factors]) for place in range(3)]
    expected = sum((term**2).sum() for term in terms) / (sum(terms) ** 2).sum()
    assert growth(factors) == pytest.approx(expected)
    assert growth([np.zeros((n, 3)) for n in (4, 2, 3, 5)]) == 1
