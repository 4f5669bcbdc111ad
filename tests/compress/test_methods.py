"""Decompositions against linear algebra, and their Keras chains against the formulas and the kernels."""

from __future__ import annotations

from math import prod

import keras
import numpy as np
import pytest
import tensorly as tl
from numpy.typing import NDArray
from tensorly.decomposition import partial_tucker

from compress import methods
from compress.methods.factor import Factor
from dse import layer as dse_layer
from dse import methods as dse_methods
from dse.errors import UserError
from dse.formula import Polynomials
from dse.options import Options
from dse.space import Space
from dse.symbols import layer_shape

CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)

# Kernel, strides, padding, dilation, input size: every kind of convolution, and strides on axes of size 1.
GEOMETRIES = [
    ((3,), (1,), "same", 1, (9,)),
    ((3,), (2,), "valid", 1, (10,)),
    ((4,), (2,), "causal", 1, (9,)),
    ((1,), (3,), "causal", 1, (8,)),
    ((3, 3), (1, 1), "same", 1, (6, 7)),
    ((3, 3), (2, 2), "same", 1, (7, 8)),
    ((5, 2), (1, 2), "valid", 1, (7, 8)),
    ((3, 3), (1, 1), "same", 2, (8, 7)),
    ((3, 1), (1, 1), "same", 2, (8, 7)),
    ((1, 1), (1, 1), "same", 1, (4, 5)),
    ((1, 1), (2, 2), "valid", 1, (6, 7)),
    ((1, 1), (2, 3), "same", 1, (6, 7)),
    ((3, 1), (2, 2), "same", 1, (6, 7)),
    ((1, 3), (3, 2), "valid", 1, (7, 8)),
    ((2, 3, 2), (1, 1, 1), "same", 1, (4, 5, 4)),
    ((3, 1, 2), (2, 2, 1), "valid", 1, (5, 5, 4)),
]


def random_conv(geometry: tuple, rng: np.random.Generator, **more: object) -> tuple[keras.Layer, dse_layer.Layer]:
    """A built convolution with random weights, and its numbers."""
    kernel, strides, padding, dilation, size = geometry
    inputs, outputs = (int(count) for count in rng.integers(2, 7, size=2))
    options = {"activation": "tanh", **more}
    layer = CONVOLUTIONS[len(kernel) - 1](
        outputs, kernel, strides=strides, padding=padding, dilation_rate=dilation, name="conv1", **options
    )
    layer.build((None, *size, inputs) if layer.data_format == "channels_last" else (None, inputs, *size))
    layer.set_weights([rng.standard_normal(weight.shape) for weight in layer.weights])
    numbers = dse_layer.conv(
        "conv1", kernel, inputs, outputs, size, strides, padding, dilation=[dilation] * len(kernel)
    )
    return layer, numbers


def random_dense(positions: int, rng: np.random.Generator) -> tuple[keras.Layer, dse_layer.Layer]:
    inputs, outputs = (int(count) for count in rng.integers(2, 9, size=2))
    layer = keras.layers.Dense(outputs, activation="tanh", name="conv1")
    layer.build((None, inputs))
    layer.set_weights([rng.standard_normal(weight.shape) for weight in layer.weights])
    return layer, dse_layer.dense("conv1", inputs, outputs, positions)


def random_layers(method: str, seed: int) -> list[tuple[keras.Layer, dse_layer.Layer]]:
    """One layer of every kind that the method factorizes."""
    rng = np.random.default_rng(seed)
    layers = [random_conv(geometry, rng) for geometry in GEOMETRIES]
    layers += [random_dense(1, rng), random_dense(5, rng)]
    return [(layer, numbers) for layer, numbers in layers if dse_methods.get(method).refuses(numbers) is None]


def input_of(numbers: dse_layer.Layer, rng: np.random.Generator) -> NDArray[np.float32]:
    size = numbers.in_size or ((numbers.positions,) if numbers.positions > 1 else ())
    return rng.standard_normal((2, *size, numbers.in_channels)).astype("float32")


def polynomials(method: str, numbers: dse_layer.Layer) -> Polynomials:
    return Space(method, layer_shape(numbers), Options()).branches[0].polynomials


def random_ranks(method: str, numbers: dse_layer.Layer, rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(rng.integers(1, cap + 1)) for cap in polynomials(method, numbers).caps)


def run(chain: list[Factor], x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Build the chain on x, put its weights in, and return every factor's output."""
    outputs = [x]
    for factor in chain:
        factor.layer.build(outputs[-1].shape)
        factor.layer.set_weights(factor.weights)
        outputs.append(keras.ops.convert_to_numpy(factor.layer(outputs[-1])))
    return outputs[1:]


def with_kernel(layer: keras.Layer, kernel: NDArray[np.float32], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The output of a layer like this one with another kernel."""
    other = type(layer).from_config(layer.get_config())
    other.build(x.shape)
    other.set_weights([kernel, *layer.get_weights()[1:]])
    return keras.ops.convert_to_numpy(other(x))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", methods.DECOMPOSITIONS)
def test_built_chain_has_the_formulas_params_fm_and_flops(method: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for layer, numbers in random_layers(method, seed):
        ranks = random_ranks(method, numbers, rng)
        decomposition = methods.get(method)
        chain = decomposition.factor_layers(layer, decomposition.decompose(layer.get_weights()[0], ranks))
        outputs = run(chain, input_of(numbers, rng))
        kernels = [factor.layer.kernel.shape for factor in chain]
        maps = [output[0].size for output in outputs]
        macs = [fm // kernel[-1] * prod(kernel) for fm, kernel in zip(maps, kernels, strict=True)]
        cost = polynomials(method, numbers).cost(ranks)
        built = (sum(map(prod, kernels)), sum(maps), 2 * sum(macs))
        assert built == (cost.params, cost.fm, cost.flops), (numbers, ranks)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", methods.DECOMPOSITIONS)
def test_chain_computes_what_the_reconstructed_kernel_computes(method: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for layer, numbers in random_layers(method, seed):
        decomposition, x = methods.get(method), input_of(numbers, rng)
        factors = decomposition.decompose(layer.get_weights()[0], random_ranks(method, numbers, rng))
        expected = with_kernel(layer, decomposition.reconstruct(factors), x)
        outputs = run(decomposition.factor_layers(layer, factors), x)
        np.testing.assert_allclose(outputs[-1], expected, atol=1e-4)


@pytest.mark.parametrize("method", methods.DECOMPOSITIONS)
def test_full_rank_gives_the_original_outputs(method: str) -> None:
    rng = np.random.default_rng(0)
    for layer, numbers in random_layers(method, 0):
        decomposition, x = methods.get(method), input_of(numbers, rng)
        factors = decomposition.decompose(layer.get_weights()[0], polynomials(method, numbers).caps)
        assert decomposition.error(layer.get_weights()[0], factors) < 1e-6
        outputs = run(decomposition.factor_layers(layer, factors), x)
        np.testing.assert_allclose(outputs[-1], keras.ops.convert_to_numpy(layer(x)), atol=1e-4)


@pytest.mark.parametrize("method", methods.DECOMPOSITIONS)
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
        assert type(factor.layer) is keras.layers.Conv2D
        assert factor.layer.dtype_policy.name == "mixed_float16"
        assert not factor.layer.trainable_weights
        assert factor.layer.kernel_regularizer is None
        assert factor.layer.kernel_constraint is None
    *inner, last = [factor.layer for factor in chain]
    assert [factor.layer.name for factor in chain] == [f"conv1_{method}_{s}" for s in decomposition.suffixes]
    assert not any(factor.use_bias for factor in inner)
    assert isinstance(last.bias_regularizer, keras.regularizers.L1)
    assert last.activation is not layer.activation
    for ours, theirs in zip(last.get_weights()[1:], layer.get_weights()[1:], strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("method", methods.DECOMPOSITIONS)
def test_channels_first_is_honoured(method: str) -> None:
    rng = np.random.default_rng(0)
    layer, numbers = random_conv(((3, 1), (2, 2), "valid", 1, (7, 6)), rng, data_format="channels_first")
    x = rng.standard_normal((2, numbers.in_channels, 7, 6)).astype("float32")
    decomposition = methods.get(method)
    factors = decomposition.decompose(layer.get_weights()[0], polynomials(method, numbers).caps)
    outputs = run(decomposition.factor_layers(layer, factors), x)
    np.testing.assert_allclose(outputs[-1], keras.ops.convert_to_numpy(layer(x)), atol=1e-4)


@pytest.mark.filterwarnings("ignore:Trying to compute SVD")
@pytest.mark.parametrize(("kernel", "inputs", "outputs"), [((3, 3), 8, 12), ((1, 1), 6, 9), ((5,), 7, 4)])
def test_tucker_is_as_good_as_partial_tucker(kernel: tuple[int, ...], inputs: int, outputs: int) -> None:
    rng = np.random.default_rng(1)
    tucker = methods.get("tucker")
    modes = [len(kernel), len(kernel) + 1]
    frames = [np.linalg.qr(rng.standard_normal((size, size)))[0] for size in (inputs, outputs)]
    decay = np.multiply.outer(0.7 ** np.arange(inputs), 0.7 ** np.arange(outputs))
    core = rng.standard_normal((*kernel, inputs, outputs)) * decay
    weights = tl.tenalg.multi_mode_dot(core, frames, modes)
    for ranks in [(1, 1), (2, 3), (4, 2), (3, 4), (inputs, 2)]:
        (theirs, factors), _ = partial_tucker(weights, rank=list(ranks), modes=modes, n_iter_max=100, tol=1e-9)
        oracle = tl.norm(weights - tl.tenalg.multi_mode_dot(theirs, factors, modes)) / tl.norm(weights)
        ours = tucker.error(weights, tucker.decompose(weights, ranks, dtype="float64"))
        assert ours <= oracle * (1 + 1e-3), ranks


def test_tucker_factors_keep_their_shapes_where_ranks_exceed_what_neighbours_feed() -> None:
    weights = np.random.default_rng(0).standard_normal((3, 8, 5))
    tucker = methods.get("tucker")
    for ranks in [(8, 1), (1, 5), (8, 5), (7, 2)]:
        left, core, right = tucker.decompose(weights, ranks, dtype="float64")
        assert (left.shape, core.shape, right.shape) == ((8, ranks[0]), (3, *ranks), (ranks[1], 5))
        np.testing.assert_allclose(left.T @ left, np.eye(ranks[0]), atol=1e-12)
        assert tucker.error(weights, [left, core, right]) <= 1


@pytest.mark.parametrize("shape", [(20, 7), (7, 20), (3, 3, 4, 6), (2, 3, 40)])
def test_svd_is_optimal_and_balanced(shape: tuple[int, ...]) -> None:
    weights = np.random.default_rng(2).standard_normal(shape)
    matrix, svd = weights.reshape(-1, shape[-1]), methods.get("svd")
    values = np.linalg.svd(matrix, compute_uv=False)
    for rank in range(1, min(matrix.shape) + 1):
        left, right = svd.decompose(weights, (rank,), dtype="float64")
        best = np.linalg.norm(values[rank:]) / np.linalg.norm(values)
        assert svd.error(weights, [left, right]) == pytest.approx(best, rel=1e-9, abs=1e-12)
        np.testing.assert_allclose(np.linalg.norm(right, axis=1) ** 2, values[:rank])
        np.testing.assert_allclose(np.linalg.norm(left.reshape(-1, rank), axis=0) ** 2, values[:rank])


def test_svd_reconstructs_a_matrix_of_tiny_and_missing_singular_values() -> None:
    rng = np.random.default_rng(3)
    u, v = (np.linalg.qr(rng.standard_normal((6, 6)))[0] for _ in range(2))
    weights = u @ np.diag([1, 1e-5, 1e-9, 1e-13, 0, 0]) @ v
    svd = methods.get("svd")
    assert svd.error(weights, svd.decompose(weights, (6,), dtype="float64")) < 1e-14


@pytest.mark.parametrize("method", methods.DECOMPOSITIONS)
def test_an_all_zero_kernel_has_no_error(method: str) -> None:
    weights = np.zeros((3, 3, 4, 5), "float32")
    decomposition = methods.get(method)
    factors = decomposition.decompose(weights, (2,) * len(decomposition.suffixes[1:]))
    assert not decomposition.reconstruct(factors).any()
    assert decomposition.error(weights, factors) == 0
    assert {factor.dtype.name for factor in factors} == {"float32"}


@pytest.mark.parametrize(
    ("method", "shape", "ranks", "message"),
    [
        ("tucker", (3, 3, 4, 5), (5, 2), r"from 1 to \(4, 5\); got \(5, 2\)"),
        ("tucker", (3, 3, 4, 5), (0, 2), "from 1 to"),
        ("tucker", (3, 3, 4, 5), (1.5, 2), "whole numbers"),
        ("tucker", (3, 3, 4, 5), (2,), r"takes 2 rank\(s\)"),
        ("tucker", (4, 5), (2, 2), "Tucker factorizes convolutions; use SVD"),
        ("svd", (3, 4, 5), (6,), r"from 1 to \(5,\)"),
        ("svd", (4,), (1,), "a kernel must be"),
    ],
)
def test_impossible_ranks_and_kernels_are_refused(method: str, shape: tuple, ranks: tuple, message: str) -> None:
    with pytest.raises(UserError, match=message):
        methods.get(method).decompose(np.ones(shape), ranks)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    weights = np.ones((4, 5))
    weights[1, 2] = bad
    with pytest.raises(UserError, match="NaN or infinity"):
        methods.get("svd").decompose(weights, (2,))


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
