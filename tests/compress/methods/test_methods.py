"""What every decomposition promises: its Keras chain costs what the formulas say and computes what the factors say."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from rankline.src.compress import methods
from rankline.src.compress.methods.factor import Factor
from rankline.src.dse import methods as dse_methods
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.reader import read
from rankline.src.dse.keras_model.source import load_model
from rankline.src.dse.network_cost import known_cost
from tests.helpers.chains import (
    METHODS,
    input_of,
    polynomials,
    random_conv,
    random_layers,
    random_ranks,
    run,
    with_kernel,
)
from tests.helpers.channels_first import skip_if_refused
from tests.helpers.rounding import rounding_bound

pytestmark = pytest.mark.filterwarnings("ignore::rankline.src.compress.methods.cp.ConvergenceWarning")


def model_of(chain: list[Factor], input_shape: tuple[int, ...]) -> keras.Model:
    model = keras.Sequential([keras.Input(input_shape), *(factor.layer for factor in chain)])
    for factor in chain:
        factor.layer.set_weights(factor.weights)
    return model


def assert_chain_computes(chain: list[Factor], layer: keras.Layer, x: NDArray[np.float32]) -> None:
    """The chain's outputs are the layer's, but for the roundings of both."""
    outputs, expected = run(chain, x)[-1], keras.ops.convert_to_numpy(layer(x))
    allowed = rounding_bound([factor.layer for factor in chain], x) + rounding_bound([layer], x)
    np.testing.assert_array_less(np.abs(outputs - expected), allowed)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", METHODS)
def test_built_chain_has_the_formulas_params_fm_and_flops(method: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for layer, numbers in random_layers(method, seed):
        ranks = random_ranks(method, numbers, rng)
        decomposition = methods.get(method)
        chain = decomposition.factor_layers(layer, decomposition.decompose(layer.get_weights()[0], ranks))
        costs = [known_cost(one) for one in read(model_of(chain, input_of(numbers, rng).shape[1:]))]
        assert len(costs) == len(chain)
        cost = polynomials(method, numbers).cost(ranks)
        assert tuple(map(sum, zip(*costs, strict=True))) == (cost.params, cost.fm, cost.flops), (numbers, ranks)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", METHODS)
def test_chain_computes_what_the_reconstructed_kernel_computes(method: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for layer, numbers in random_layers(method, seed):
        decomposition, x = methods.get(method), input_of(numbers, rng)
        factors = decomposition.decompose(layer.get_weights()[0], random_ranks(method, numbers, rng))
        kernel = decomposition.reconstruct([factor.astype("float64") for factor in factors])
        assert_chain_computes(decomposition.factor_layers(layer, factors), with_kernel(layer, kernel, x), x)


@pytest.mark.parametrize("method", METHODS)
def test_full_rank_gives_the_original_outputs(method: str) -> None:
    rng = np.random.default_rng(0)
    for layer, numbers in random_layers(method, 0):
        decomposition, x = methods.get(method), input_of(numbers, rng)
        factors = decomposition.decompose(layer.get_weights()[0], polynomials(method, numbers).caps)
        assert decomposition.error(layer.get_weights()[0], factors) < 1e-6
        assert_chain_computes(decomposition.factor_layers(layer, factors), layer, x)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "qr"])
def test_chain_keeps_what_the_layer_was_told(method: str) -> None:
    layer, numbers = random_conv(
        ((3, 3), (1, 1), "same", 1, (6, 6)), np.random.default_rng(0), dtype="mixed_float16", trainable=False,
        activation=keras.layers.PReLU(), kernel_regularizer="l2", kernel_constraint="max_norm", bias_regularizer="l1",
    )  # fmt: skip
    x = np.zeros((1, 6, 6, numbers.in_channels), "float32")
    layer(x)
    layer.activation.set_weights([np.full(layer.activation.alpha.shape, 0.5)])
    decomposition = methods.get(method)
    ranks = (2,) * len(polynomials(method, numbers).caps)
    chain = decomposition.factor_layers(layer, decomposition.decompose(layer.get_weights()[0], ranks))
    for factor in chain:
        x = factor.layer(x)
        factor.layer.set_weights(factor.weights)
        assert type(factor.layer) in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
        assert factor.layer.dtype_policy.name == "mixed_float16"
        assert not factor.layer.trainable_weights
        assert not [value for key, value in vars(factor.layer).items() if key.endswith("kernel_regularizer") and value]
        assert not [value for key, value in vars(factor.layer).items() if key.endswith("kernel_constraint") and value]
    *inner, last = [factor.layer for factor in chain]
    suffixes = [suffix for suffix in decomposition.suffixes if suffix != "axis3"]
    assert [factor.layer.name for factor in chain] == [f"conv1_{method}_{suffix}" for suffix in suffixes]
    assert not any(factor.use_bias for factor in inner)
    assert isinstance(last.bias_regularizer, keras.regularizers.L1)
    assert last.activation is not layer.activation
    for ours, theirs in zip(last.get_weights()[1:], layer.get_weights()[1:], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
@pytest.mark.parametrize("kernel", [(3, 1), (2, 3), (1, 1)])
@pytest.mark.parametrize("method", METHODS)
def test_channels_first_is_honoured(method: str, kernel: tuple[int, int], strides: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    layer, numbers = random_conv((kernel, strides, "valid", 1, (7, 6)), rng, data_format="channels_first")
    skip_if_refused(layer)
    if dse_methods.get(method).refuses(numbers):
        return
    x = rng.standard_normal((2, numbers.in_channels, 7, 6)).astype("float32")
    decomposition = methods.get(method)
    factors = decomposition.decompose(layer.get_weights()[0], polynomials(method, numbers).caps)
    assert_chain_computes(decomposition.factor_layers(layer, factors), layer, x)


@pytest.mark.parametrize("method", METHODS)
def test_every_factor_learns_and_a_saved_chain_loads_bit_equal(method: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for layer, numbers in random_layers(method, 4)[::3]:
        decomposition, x = methods.get(method), input_of(numbers, rng)
        factors = decomposition.decompose(layer.get_weights()[0], polynomials(method, numbers).caps)
        model = model_of(decomposition.factor_layers(layer, factors), x.shape[1:])
        model.save(tmp_path / "chain.keras")
        loaded = load_model(str(tmp_path / "chain.keras"))
        np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(one(x)) for one in (model, loaded)))
        before = model.get_weights()
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
        model.train_on_batch(x, np.zeros(model(x).shape, "float32"))
        assert all((ours != theirs).any() for ours, theirs in zip(model.get_weights(), before, strict=True)), numbers


@pytest.mark.parametrize("method", METHODS)
def test_an_all_zero_kernel_has_no_error(method: str) -> None:
    decomposition = methods.get(method)
    weights = np.zeros((1, 1, 4, 5) if method == "qr" else (3, 3, 4, 5), "float32")
    (table,) = decomposition.spectrum(weights).values()
    ranks = (2,) * (2 if table.is_grid else len(table.tables))
    factors = decomposition.decompose(weights, ranks)
    assert not decomposition.reconstruct(factors).any()
    assert decomposition.error(weights, factors) == table.error(ranks) == 0
    assert {factor.dtype.name for factor in factors} == {"float32"}


@pytest.mark.parametrize(
    ("method", "shape", "ranks", "message"),
    [
        ("tucker", (3, 3, 4, 5), (5, 2), r"from 1 to \(4, 5\); got \(5, 2\)"),
        ("tucker", (3, 3, 4, 5), (0, 2), "from 1 to"),
        ("tucker", (3, 3, 4, 5), (1.5, 2), "whole numbers"),
        ("tucker", (3, 3, 4, 5), (2,), r"takes 2 rank\(s\)"),
        ("tucker", (4, 5), (2, 2), "Tucker factorizes convolutions; use SVD"),
        ("cp", (3, 4, 5), (13,), r"from 1 to \(12,\)"),
        ("cp", (1, 1, 4, 5), (2,), "CP on a 1x1 convolution repeats SVD"),
        ("cp", (4, 5), (2,), "CP factorizes convolutions"),
        ("tt", (3, 3, 4, 5), (4, 13, 5), r"from 1 to \(4, 12, 5\)"),
        ("tt", (3, 1, 4, 5), (4, 5, 5), r"takes 2 rank\(s\)"),
        ("tt", (1, 4, 5), (2,), "TT on a 1x1 convolution repeats SVD"),
        ("spatial_svd", (3, 2, 4, 5), (11,), r"from 1 to \(10,\)"),
        ("spatial_svd", (3, 1, 4, 5), (2,), "exactly two kernel sizes above 1"),
        ("svd", (3, 4, 5), (6,), r"from 1 to \(5,\)"),
        ("svd", (4,), (1,), "a kernel must be"),
    ],
)
def test_impossible_ranks_and_kernels_are_refused(method: str, shape: tuple, ranks: tuple, message: str) -> None:
    with pytest.raises(UserError, match=message):
        methods.get(method).decompose(np.ones(shape), ranks)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", [name for name in METHODS if name != "qr"])
def test_weights_that_are_not_finite_are_refused(method: str, bad: float) -> None:
    weights = np.ones((3, 3, 4, 5))
    weights[0, 1, 1, 2] = bad
    with pytest.raises(UserError, match="NaN or infinity"):
        methods.get(method).decompose(weights, (2,))
    with pytest.raises(UserError, match="NaN or infinity"):
        methods.get(method).spectrum(weights)


def test_a_shape_or_dtype_that_is_not_possible_is_refused() -> None:
    with pytest.raises(UserError, match="tensor shape '2x2:2x2' is not possible"):
        methods.get("svd").decompose(np.ones((4, 4)), (2,), shape="2x2:2x2")
    with pytest.raises(UserError, match="dtype must be one of float32, float64"):
        methods.get("svd").decompose(np.ones((4, 4)), (2,), dtype="int8")


def test_registry_tells_unknown_methods_from_those_to_come() -> None:
    assert all(name == method.name for name, method in methods.DECOMPOSITIONS.items())
    with pytest.raises(UserError, match="did you mean 'tucker'"):
        methods.get("tuker")
    for name in dse_methods.METHODS.keys() - methods.DECOMPOSITIONS.keys():
        with pytest.raises(UserError, match="Possible: tucker, svd"):
            methods.get(name)
