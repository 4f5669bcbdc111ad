"""The bound of what rounding does to a chain: never exceeded, exceeded by mistakes, and larger where terms cancel."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from rankline.src.compress import methods
from rankline.src.compress.fit.covariance import patches
from rankline.src.compress.methods.method import Decomposition
from tests.helpers.chains import METHODS, input_of, random_conv, random_dense, random_layers, random_ranks, run
from tests.helpers.rounding import rounding_bound

pytestmark = pytest.mark.filterwarnings("ignore::rankline.src.compress.methods.cp.ConvergenceWarning")

Arrays = list[NDArray[np.float32]]


def exact(decomposition: Decomposition, layer: keras.Layer, factors: Arrays, x: NDArray[np.float32]) -> NDArray:
    """What the chain of these factors stands for, in float64."""
    kernel = decomposition.reconstruct([factor.astype("float64") for factor in factors])
    found = patches(layer, x.astype("float64"))
    rows = found.reshape(*found.shape[: found.ndim - kernel.ndim + 1], -1)
    outputs = rows @ kernel.reshape(-1, kernel.shape[-1]) + layer.get_weights()[1].astype("float64")
    return np.tanh(outputs) if layer.activation is keras.activations.tanh else outputs


def computed(
    decomposition: Decomposition, layer: keras.Layer, factors: Arrays, x: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """What the float32 chain gives, and the bound of its rounding."""
    chain = decomposition.factor_layers(layer, factors)
    return run(chain, x)[-1], rounding_bound([factor.layer for factor in chain], x)


def example(method: str) -> tuple[Decomposition, keras.Layer, Arrays, NDArray[np.float32]]:
    """A layer without activation, its factors of ranks of 2 or more, and an input."""
    rng = np.random.default_rng(1)
    geometry = ((3, 3), (1, 1), "same", 1, (6, 7))
    layer, numbers = random_dense(5, rng) if method == "qr" else random_conv(geometry, rng)
    layer.activation = keras.activations.linear
    decomposition = methods.get(method)
    ranks = (2,) * len(random_ranks(method, numbers, rng))
    return decomposition, layer, decomposition.decompose(layer.get_weights()[0], ranks), input_of(numbers, rng)


@pytest.mark.parametrize("method", METHODS)
def test_a_float32_chain_is_nearer_to_its_exact_value_than_the_bound(method: str) -> None:
    rng = np.random.default_rng(1)
    decomposition = methods.get(method)
    for layer, numbers in random_layers(method, 1):
        x = input_of(numbers, rng)
        factors = decomposition.decompose(layer.get_weights()[0], random_ranks(method, numbers, rng))
        outputs, bound = computed(decomposition, layer, factors, x)
        np.testing.assert_array_less(np.abs(outputs - exact(decomposition, layer, factors, x)), bound)


@pytest.mark.parametrize("method", METHODS)
def test_where_nothing_cancels_the_bound_is_within_a_hundredfold_of_the_error(method: str) -> None:
    """Positive weights and inputs: the last rounding alone makes an error of about u, and the bound is n u."""
    decomposition, layer, factors, x = example(method)
    factors, x = [np.abs(factor) for factor in factors], np.abs(x)
    layer.set_weights([np.abs(weight) for weight in layer.get_weights()])
    wanted = exact(decomposition, layer, factors, x)
    outputs, bound = computed(decomposition, layer, factors, x)
    assert (bound < 1e-5 * wanted).all()
    assert (np.abs(outputs - wanted) / bound).max() > 1 / 100


@pytest.mark.parametrize("method", METHODS)
def test_two_taps_ranks_or_channels_in_each_others_place_exceed_the_bound_a_hundredfold(method: str) -> None:
    decomposition, layer, factors, x = example(method)
    wanted = exact(decomposition, layer, factors, x)
    for place, factor in enumerate(factors):
        for axis in (axis for axis, size in enumerate(factor.shape) if size > 1):
            swapped = factor.copy()
            np.moveaxis(swapped, axis, 0)[[0, 1]] = np.moveaxis(factor, axis, 0)[[1, 0]]
            outputs, bound = computed(decomposition, layer, [*factors[:place], swapped, *factors[place + 1 :]], x)
            assert (np.abs(outputs - wanted) > 100 * bound).any(), (place, axis)


@pytest.mark.parametrize("method", METHODS)
def test_one_weight_that_is_off_by_a_thousandth_exceeds_the_bound_tenfold(method: str) -> None:
    decomposition, layer, factors, x = example(method)
    wanted = exact(decomposition, layer, factors, x)
    for place, factor in enumerate(factors):
        off = factor.copy()
        off.flat[np.abs(off).argmax()] *= 1 + 1e-3
        outputs, bound = computed(decomposition, layer, [*factors[:place], off, *factors[place + 1 :]], x)
        assert (np.abs(outputs - wanted) > 10 * bound).any(), place


def test_terms_that_annul_each_other_make_the_bound_larger_as_they_do_the_error() -> None:
    """A rank-one term of CP and its negative leave the kernel as it is."""
    cp, layer, factors, x = example("cp")
    wanted = exact(cp, layer, factors, x)
    rng = np.random.default_rng(2)
    left, *spatial, right = (rng.standard_normal(factor.shape).astype("float32") for factor in factors)
    bounds, errors = [], []
    for size in (0, 1e2, 1e4):
        columns = zip(factors[1:-1], spatial, strict=True)
        annulled = [
            np.concatenate([factors[0], size * left[:, :1], -size * left[:, :1]], axis=1),
            *(np.concatenate([own, one[..., :1], one[..., :1]], axis=-1) for own, one in columns),
            np.concatenate([factors[-1], right[:1], right[:1]]),
        ]
        annulled = [one.astype("float32") for one in annulled]
        np.testing.assert_allclose(exact(cp, layer, annulled, x), wanted, atol=1e-9 * max(1, size))
        outputs, bound = computed(cp, layer, annulled, x)
        np.testing.assert_array_less(np.abs(outputs - wanted), bound)
        bounds.append(bound.max())
        errors.append(np.abs(outputs - wanted).max())
    assert bounds[0] < bounds[1] / 10 < bounds[2] / 500
    assert errors[2] > bounds[0], "a bound that ignored these terms would be too small"
