"""Factors in closed form against perturbations, gradient descent and the error tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import pytest
import tensorly as tl

from rankline.src.compress.fit.factors import fitted_factors, metric_roots
from rankline.src.compress.fit.fitted_layer import FittedLayer, Reals
from rankline.src.compress.methods import get
from rankline.src.dse.configuration import Configuration
from tests.helpers.fits import decaying, descended, objective, unit_of

layers = keras.layers

CONV = unit_of(layers.Conv2D(5, 3, name="it"), (6, 6, 4))
POINT = unit_of(layers.Conv2D(6, 1, name="it"), (6, 6, 4))
SOUND = unit_of(layers.Conv1D(5, 3, name="it"), (8, 4))
VOLUME = unit_of(layers.Conv3D(4, 2, name="it"), (4, 4, 4, 3))
DENSE = unit_of(layers.Dense(6, name="it"), (8,))

SINGULAR = [
    (CONV, Configuration("svd", (2,))),
    (DENSE, Configuration("svd", (3,))),
    (VOLUME, Configuration("svd", (2,))),
]
WHITENED = [
    *SINGULAR,
    (CONV, Configuration("spatial_svd", (3,))),
    (CONV, Configuration("tucker", (2, 3))),
    (SOUND, Configuration("tucker", (3, 2))),
    (VOLUME, Configuration("tucker", (2, 2))),
]
OTHERS = [
    (CONV, Configuration("cp", (3,))),
    (CONV, Configuration("tt", (2, 4, 3))),
    (SOUND, Configuration("tt", (2, 3))),
    (DENSE, Configuration("qr", (3,))),
    (POINT, Configuration("qr", (2,))),
]

pytestmark = pytest.mark.filterwarnings("ignore::rankline.src.compress.methods.cp.ConvergenceWarning")


def name(case: object) -> str | None:
    if isinstance(case, Configuration):
        return f"{case.method}{case.ranks}"
    return "x".join(map(str, case.layer.kernel.shape)) if isinstance(case, FittedLayer) else None


def problem(fitted: FittedLayer, rank: int | None = None) -> tuple[Reals, Reals, Reals]:
    """Weights, covariance, metric."""
    rows, outputs = fitted.weights_shape
    return fitted.kernel(), decaying(rows, 1, rank), decaying(outputs, 2, decay=0.5)


def value_of(
    choice: Configuration, weights: Reals, covariance: Reals, metric: Reals | None
) -> Callable[[Sequence[Reals]], float]:
    method = get(choice.method)

    def value(factors: Sequence[Reals]) -> float:
        product = tl.to_numpy(method.reconstruct([tl.tensor(one) for one in factors])).reshape(weights.shape)
        return objective(weights - product, covariance, metric)

    return value


def arrays(factors: Sequence[tl.tensor]) -> list[Reals]:
    return [np.array(tl.to_numpy(one), np.float64) for one in factors]


@pytest.mark.parametrize(("fitted", "choice"), SINGULAR, ids=name)
def test_svd_factors_beat_perturbations(fitted: FittedLayer, choice: Configuration) -> None:
    weights, covariance, metric = problem(fitted)
    factors = arrays(fitted_factors(choice, fitted, weights, covariance, metric_roots(metric))[0])
    value, rng = value_of(choice, weights, covariance, metric), np.random.default_rng(0)
    best = value(factors)
    for _ in range(2000):
        size = 10 ** rng.uniform(-6, 0)
        assert value([one + size * rng.standard_normal(one.shape) for one in factors]) >= best * (1 - 1e-9)


@pytest.mark.parametrize(("fitted", "choice"), SINGULAR[1:2], ids=name)
def test_gradient_descent_finds_nothing_better_than_svd_factors(fitted: FittedLayer, choice: Configuration) -> None:
    weights, covariance, metric = problem(fitted)
    factors = arrays(fitted_factors(choice, fitted, weights, covariance, metric_roots(metric))[0])
    value, rng = value_of(choice, weights, covariance, metric), np.random.default_rng(0)
    best = value(factors)
    for start in (factors, *([rng.standard_normal(one.shape) for one in factors] for _ in range(3))):
        reached, _ = descended(start, value)
        assert best * (1 - 1e-6) <= reached
    assert reached < 1.5 * best  # from a random start it does come near


@pytest.mark.parametrize("rank", [None, 3], ids=["full", "deficient"])
@pytest.mark.parametrize(("fitted", "choice"), [*WHITENED, *OTHERS], ids=name)
def test_the_factor_that_is_solved_for_is_the_best_beside_the_others(
    fitted: FittedLayer, choice: Configuration, rank: int | None
) -> None:
    weights, covariance, metric = problem(fitted, rank)
    factors = arrays(fitted_factors(choice, fitted, weights, covariance, metric_roots(metric))[0])
    solved = 1 if choice.method == "tucker" else len(factors) - 1
    value, rng = value_of(choice, weights, covariance, metric), np.random.default_rng(0)
    best, whole = value(factors), objective(weights, covariance, metric)
    assert best < 0.9 * whole
    for _ in range(300):
        change = 10 ** rng.uniform(-5, 0) * rng.standard_normal(factors[solved].shape)
        others = [one + change if place == solved else one for place, one in enumerate(factors)]
        assert value(others) >= best - 1e-8 * whole


@pytest.mark.parametrize("ranks", [(1, 1), (1, 2), (2, 2), (2, 3), (3, 4)])
def test_tuckers_last_factor_is_all_but_the_best_behind_the_others(ranks: tuple[int, int]) -> None:
    weights, covariance, metric = problem(CONV)
    factors = arrays(fitted_factors(Configuration("tucker", ranks), CONV, weights, covariance, metric_roots(metric))[0])
    value = value_of(Configuration("tucker", ranks), weights, covariance, metric)
    behind = tl.to_numpy(get("tucker").reconstruct([*factors[:-1], tl.eye(ranks[1])])).reshape(len(weights), -1)
    best = np.linalg.lstsq(behind.T @ covariance @ behind, behind.T @ covariance @ weights, rcond=None)[0]
    assert value([*factors[:-1], best]) <= value(factors) <= 1.01 * value([*factors[:-1], best])


@pytest.mark.parametrize(("fitted", "choice"), OTHERS, ids=name)
def test_a_refitted_last_factor_is_never_worse_than_the_decompositions_own(
    fitted: FittedLayer, choice: Configuration
) -> None:
    weights, covariance, _ = problem(fitted)
    own = get(choice.method).decompose(tl.tensor(weights.reshape(fitted.layer.kernel.shape)), choice.ranks)
    fitted, _ = fitted_factors(choice, fitted, weights, covariance, None)
    value = value_of(choice, weights, covariance, None)
    assert value(arrays(fitted)) < value(arrays(own))


@pytest.mark.parametrize(
    ("fitted", "choice"), [*WHITENED, *OTHERS, (DENSE, Configuration("t3f", (3,), "2x3:4x2"))], ids=name
)
@pytest.mark.parametrize("given", ["neither", "covariance", "metric", "both"])
def test_the_product_is_that_of_the_factors(fitted: FittedLayer, choice: Configuration, given: str) -> None:
    weights, covariance, metric = problem(fitted)
    factors, product = fitted_factors(
        choice,
        fitted,
        weights,
        covariance if given in ("covariance", "both") else None,
        metric_roots(metric) if given in ("metric", "both") else None,
    )
    again = tl.to_numpy(get(choice.method).reconstruct(factors)).reshape(weights.shape)
    np.testing.assert_allclose(product, again, atol=1e-12)
    assert np.isfinite(product).all()


@pytest.mark.parametrize(("fitted", "choice"), [*WHITENED, *OTHERS], ids=name)
@pytest.mark.parametrize("what", ["weights", "covariance", "both"])
def test_zero_weights_and_zero_inputs_give_finite_factors(
    fitted: FittedLayer, choice: Configuration, what: str
) -> None:
    weights, covariance, metric = problem(fitted)
    weights = weights * (what == "covariance")
    covariance = covariance * (what == "weights")
    factors, product = fitted_factors(choice, fitted, weights, covariance, metric_roots(metric))
    assert all(np.isfinite(one).all() for one in arrays(factors))
    if what == "weights":
        np.testing.assert_allclose(product, 0, atol=1e-9)


@pytest.mark.parametrize(("fitted", "choice"), WHITENED, ids=name)
def test_dead_and_constant_channels_are_fitted_as_well_as_any(fitted: FittedLayer, choice: Configuration) -> None:
    weights, covariance, _ = problem(fitted)
    alive = np.arange(len(weights)) % fitted.layer.kernel.shape[-2] != 1
    covariance = covariance * alive[:, None] * alive
    factors, product = fitted_factors(choice, fitted, weights, covariance, None)
    assert all(np.isfinite(one).all() for one in arrays(factors))
    assert objective(weights - product, covariance) < 0.9 * objective(weights, covariance)


def test_without_a_choice_the_weights_stay() -> None:
    weights, covariance, metric = problem(CONV)
    (one,), product = fitted_factors(None, CONV, weights, covariance, metric_roots(metric))
    assert one is weights
    assert product is weights


def test_an_output_that_matters_more_is_kept_better() -> None:
    weights, covariance, _ = problem(DENSE)
    metric = np.diag([1e4, *np.ones(5)])
    errors = [
        (weights - fitted_factors(Configuration("svd", (1,)), DENSE, weights, covariance, metric_roots(one))[1]).T
        for one in (None, metric)
    ]
    plain, weighed = (float(error[0] @ covariance @ error[0]) for error in errors)
    assert weighed < 0.01 * plain


def test_roots_of_a_metric_are_inverse_to_each_other() -> None:
    metric = decaying(6, 0)
    roots = metric_roots(metric)
    assert roots is not None
    root, back = roots
    np.testing.assert_allclose(root @ root, metric, atol=1e-12)
    np.testing.assert_allclose(root @ back, np.eye(6), atol=1e-9)
    assert all(np.isfinite(one).all() for one in metric_roots(decaying(6, 0, rank=2)) or [np.inf])
    assert metric_roots(None) is metric_roots(np.zeros((6, 6))) is None
