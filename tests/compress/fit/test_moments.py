"""Moments against what numpy says, and the regression with a ridge against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from rankline.src.compress.fit.fitted_layer import Reals
from rankline.src.compress.fit.moments import Moments, Regression, moments


def data(rows: int = 500) -> tuple[Reals, Reals]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, 6)) @ rng.standard_normal((6, 6)) + rng.standard_normal(6)
    return x, x @ rng.standard_normal((6, 3)) + rng.standard_normal((rows, 3)) + 2.0


def test_centred_moments_are_the_covariances() -> None:
    x, t = data()
    found = moments(x, t, centred=True)
    both = np.cov(np.concatenate([x, t], axis=1), rowvar=False, bias=True)
    np.testing.assert_allclose(found.xx, both[:6, :6], rtol=1e-10)
    np.testing.assert_allclose(found.xt, both[:6, 6:], rtol=1e-10)
    np.testing.assert_allclose(found.x_mean, x.mean(axis=0))
    np.testing.assert_allclose(found.t_mean, t.mean(axis=0))


def test_moments_that_are_not_centred_are_about_zero() -> None:
    x, t = data()
    found = moments(x, t, centred=False)
    np.testing.assert_allclose(found.xx, x.T @ x / len(x), rtol=1e-10)
    np.testing.assert_allclose(found.xt, x.T @ t / len(x), rtol=1e-10)
    assert not found.x_mean.any()
    assert not found.t_mean.any()


@pytest.mark.parametrize("centred", [True, False])
def test_chunks_and_known_patches_give_the_same(centred: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x, t = data()
    whole = moments(x, t, centred)
    known = moments(x, t, centred, moments(x, 3 * t - 1, centred))
    monkeypatch.setattr("rankline.src.compress.fit.products.BLOCK_ELEMENTS", 100)
    for found in (moments(x, t, centred), known):
        for name in Moments.__dataclass_fields__:
            np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-10, atol=1e-12)


def test_sums_of_single_precision_are_taken_in_double() -> None:
    x = np.full((2**18, 1), 0.1, np.float32)
    found = moments(x, x, centred=False)
    assert found.xx[0, 0] == pytest.approx(float(np.float32(0.1)) ** 2, rel=1e-12)


def best_weights(found: Moments, weights: Reals, ridge: float) -> Reals:
    return Regression(found.xx, weights, ridge).best_weights(found.xt)


def test_wide_rows_of_single_precision_are_summed_to_six_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((4000, 40)) @ rng.standard_normal((40, 40)) + 1).astype(np.float32)
    exact = moments(x.astype(np.float64), x[:, :3].astype(np.float64), centred=True)
    monkeypatch.setattr("rankline.src.compress.fit.products.WIDE", 40)
    found = moments(x, x[:, :3], centred=True, single=True)
    scale = np.sqrt(np.outer(exact.xx.diagonal(), exact.xx.diagonal()))
    assert found.xx.dtype == np.float64
    assert 0 < (np.abs(found.xx - exact.xx) / scale).max() < 1e-6
    assert (np.abs(found.xt - exact.xt) / scale[:, :3]).max() < 1e-6


def test_one_factorization_serves_all_targets() -> None:
    x, t = data()
    one, other = moments(x, t, centred=True), moments(x, t**2, centred=True)
    shared = Regression(one.xx, np.ones((6, 3)), 1e-2)
    for found in (one, other):
        left = found.xx + 1e-2 * np.trace(found.xx) / 6 * np.eye(6)
        wanted = 1 + np.linalg.solve(left, found.xt - found.xx @ np.ones((6, 3)))
        np.testing.assert_allclose(shared.best_weights(found.xt), wanted, rtol=1e-9)


def test_without_a_ridge_the_best_weights_are_the_least_squares_ones() -> None:
    x, t = data()
    found = best_weights(moments(x, t, centred=True), np.zeros((6, 3)), 1e-13)
    wanted = np.linalg.lstsq(x - x.mean(axis=0), t - t.mean(axis=0), rcond=None)[0]
    np.testing.assert_allclose(found, wanted, atol=1e-8)


def test_the_ridge_draws_to_the_given_weights() -> None:
    x, t = data()
    stats, weights = moments(x, t, centred=True), np.ones((6, 3))
    lam = 0.3 * np.trace(stats.xx) / 6

    def value(some: Reals) -> float:
        error = (x - stats.x_mean) @ some - (t - stats.t_mean)
        return float((error**2).sum() / len(x) + lam * ((some - weights) ** 2).sum())

    best = best_weights(stats, weights, 0.3)
    rng = np.random.default_rng(1)
    assert all(value(best + 1e-3 * rng.standard_normal(best.shape)) > value(best) for _ in range(100))
    np.testing.assert_allclose(best_weights(stats, weights, 1e9), weights, atol=1e-6)


def test_dead_and_constant_inputs_leave_their_weights_as_they_are() -> None:
    x, t = data()
    x[:, 1], x[:, 4] = 0.0, 7.0
    weights = np.arange(18.0).reshape(6, 3)
    best = best_weights(moments(x, t, centred=True), weights, 1e-3)
    np.testing.assert_allclose(best[[1, 4]], weights[[1, 4]], atol=1e-6)
    np.testing.assert_array_equal(best_weights(moments(0 * x, t, centred=True), weights, 1e-3), weights)
