"""The error tables of factorizations that know their inputs, against the factors themselves at every rank."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import tensorly as tl

from rankline.src.compress.fit.fitted_layer import Reals
from rankline.src.compress.methods import get
from rankline.src.compress.methods.numerics.whitened import Whitened
from rankline.src.dse.error_table import EXACT
from tests.helpers.fits import decaying, objective

KERNELS = [
    ("svd", (6, 5)),
    ("svd", (2, 3, 4)),
    ("svd", (3, 3, 2, 5)),
    ("tucker", (3, 4, 5)),
    ("tucker", (3, 3, 3, 4)),
    ("tucker", (1, 1, 4, 5)),
    ("tucker", (2, 1, 2, 3, 4)),
    ("spatial_svd", (3, 3, 2, 4)),
    ("spatial_svd", (2, 4, 3, 2)),
]

COVARIANCES = ["full", "deficient", "dead channel", "steep", "one direction"]


def weights_of(shape: tuple[int, ...]) -> Reals:
    return np.random.default_rng(0).standard_normal(shape)


def covariance_of(kind: str, shape: tuple[int, ...]) -> Reals:
    size = int(np.prod(shape[:-1]))
    if kind == "dead channel":
        alive = np.arange(size) % shape[-2] != 0
        return decaying(size, 1) * alive * alive[:, None]
    return {
        "full": lambda: decaying(size, 1, decay=0.8),
        "deficient": lambda: decaying(size, 1, rank=size // 2),
        "steep": lambda: decaying(size, 1, decay=0.1),
        "one direction": lambda: decaying(size, 1, rank=1),
    }[kind]()


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize(("method", "shape"), KERNELS)
def test_the_table_is_the_error_of_the_factors_at_every_rank(method: str, shape: tuple[int, ...], kind: str) -> None:
    weights, covariance = weights_of(shape), covariance_of(kind, shape)
    matrix = weights.reshape(-1, shape[-1])
    decomposition = get(method)
    (table,) = decomposition.spectrum(tl.tensor(weights), covariance=tl.tensor(covariance)).values()
    assert table.certainty == EXACT
    for ranks in product(*(range(1, size + 1) for size in table.tables[0].shape)):
        factors = decomposition.decompose(weights, ranks, dtype="float64", covariance=tl.tensor(covariance))
        error = matrix - tl.to_numpy(decomposition.reconstruct(factors)).reshape(matrix.shape)
        measured = objective(error, covariance) / objective(matrix, covariance)
        assert table.error(ranks) ** 2 == pytest.approx(measured, rel=1e-4, abs=1e-7), ranks


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize(("method", "shape"), KERNELS)
def test_errors_fall_with_every_rank(method: str, shape: tuple[int, ...], kind: str) -> None:
    (table,) = get(method).spectrum(weights_of(shape), covariance=covariance_of(kind, shape)).values()
    for axis in range(table.tables[0].ndim):
        assert (np.diff(table.tables[0], axis=axis) <= 1e-12).all()
    assert table.tables[0].flat[-1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("method", "shape"), KERNELS)
def test_nothing_is_lost_where_nothing_comes_in(method: str, shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape[:-1]))
    (table,) = get(method).spectrum(weights_of(shape), covariance=np.zeros((size, size))).values()
    np.testing.assert_array_equal(table.tables[0], 0)


@pytest.mark.parametrize(("method", "shape"), KERNELS)
def test_what_rounding_leaves_of_constant_inputs_is_taken(method: str, shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape[:-1]))
    noise = 1e-17 * np.random.default_rng(0).standard_normal((size, size))
    (table,) = get(method).spectrum(weights_of(shape), covariance=noise + noise.T).values()
    assert np.isfinite(table.tables[0]).all()
    factors = get(method).decompose(weights_of(shape), (2,) * table.n_ranks, covariance=noise + noise.T)
    assert all(np.isfinite(tl.to_numpy(one)).all() for one in factors)


@pytest.mark.parametrize(("method", "shape"), [one for one in KERNELS if one[0] != "svd"])
def test_white_inputs_give_what_the_weights_alone_do(method: str, shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape[:-1]))
    (known,), (plain,) = (
        get(method).spectrum(weights_of(shape), covariance=covariance).values() for covariance in (np.eye(size), None)
    )
    np.testing.assert_allclose(known.tables[0], plain.tables[0], atol=1e-9)


def test_the_frames_first_channels_are_nested() -> None:
    whitened = Whitened(weights_of((4, 3, 5)), decaying(12, 1), [1], 4)
    for rank in range(1, 5):
        basis, change = whitened.first(rank)
        np.testing.assert_allclose(basis.T @ basis, np.eye(rank), atol=1e-12)
        np.testing.assert_allclose(basis @ change, whitened.frame[:, :rank], atol=1e-9)


def test_the_second_factor_is_the_regression_behind_the_first() -> None:
    weights, covariance = weights_of((4, 3, 5)), decaying(12, 1, decay=0.8)
    whitened = Whitened(weights, covariance, [1], 4)
    basis, _ = whitened.first(2)
    behind = np.kron(basis, np.eye(3))
    wanted = np.linalg.solve(behind.T @ covariance @ behind, behind.T @ covariance @ weights.reshape(12, 5))
    np.testing.assert_allclose(whitened.second(2).reshape(6, 5), wanted, rtol=1e-6, atol=1e-8)
    lost = objective(weights.reshape(12, 5) - behind @ wanted, covariance)
    assert whitened.energy()[2:].sum() == pytest.approx(lost, rel=1e-6)


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("rest", [(0,), (1,), (0, 1)])
def test_the_leading_channels_alone_lose_what_they_lose_among_all(rest: tuple[int, ...], kind: str) -> None:
    weights, covariance = weights_of((3, 2, 4, 5)), covariance_of(kind, (3, 2, 4, 5))
    every = Whitened(weights, covariance, rest, 24)
    wholes = every.energy()
    few = every.group // 2
    some = Whitened(weights, covariance, rest, few)
    scale = objective(weights.reshape(24, 5), covariance)
    np.testing.assert_allclose(some.energy()[:few], wholes[:few], rtol=1e-5, atol=1e-7 * scale)
    np.testing.assert_allclose(some.energy()[few], wholes[few:].sum(axis=0), rtol=1e-5, atol=1e-7 * scale)
