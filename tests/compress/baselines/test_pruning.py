"""Filter pruning on every kind of network: exact for filters that do nothing, and just as small as it says."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from rankline.src.compress.baselines.channels import channel_map
from rankline.src.compress.baselines.importance import CRITERIA, filter_importance
from rankline.src.compress.baselines.pruning import prune
from rankline.src.compress.model.surgery import factorize
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError
from tests.helpers.rounding import assert_same_up_to_rounding

layers = keras.layers

DATA = Path(os.environ.get("RANKLINE_DATA", Path(__file__).parents[4] / "shared" / "data"))


def normalized(x: Any, name: str) -> Any:
    return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_bn")(x))


def lenet() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((12, 12, 2)),
            layers.Conv2D(6, 3, activation="relu", name="conv1"),
            layers.MaxPooling2D(),
            layers.Conv2D(8, 3, name="conv2"),
            layers.PReLU(shared_axes=(1, 2), name="prelu"),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(10, activation="relu", name="hidden"),
            layers.Dense(4, activation="softmax", name="classes"),
        ],
        name="lenet",
    )


def residual() -> keras.Model:
    """An identity sum, a sum with a projection and strides, and bare operations."""
    inputs = keras.Input((8, 8, 3))
    x = normalized(layers.Conv2D(6, 3, padding="same", use_bias=False, name="stem")(inputs), "stem")
    y = normalized(layers.Conv2D(5, 3, padding="same", name="conv1")(x), "conv1")
    y = layers.BatchNormalization(name="bn2")(layers.Conv2D(6, 3, padding="same", name="conv2")(y))
    x = keras.ops.relu(layers.Add()([x, y]))
    y = layers.ZeroPadding2D(1)(x)
    y = layers.Conv2D(8, 3, strides=2, name="conv3")(y)
    x = layers.Conv2D(8, 1, strides=2, name="project")(x) + y
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(3, name="classes")(x), name="residual")


def inception() -> keras.Model:
    """Branches that are concatenated; one output goes to several places, at the end to a Reshape."""
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="stem")(inputs)
    a = layers.Conv2D(4, 1, activation="relu", name="a")(x)
    b = layers.Conv2D(5, 3, padding="same", activation="tanh", name="b")(layers.Conv2D(3, 1, name="b_in")(x))
    c = layers.MaxPooling2D(3, strides=1, padding="same")(x)
    x = normalized(layers.Concatenate(name="join")([a, b, c]), "join")
    x = layers.Conv2D(4, 3, strides=2, name="last")(x)
    x = layers.Reshape((16,))(x)
    return keras.Model(inputs, layers.Dense(3, name="classes")(x), name="inception")


def mobilenet() -> keras.Model:
    """Depthwise, separable, an inverted residual, and a squeeze-and-excitation gate."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", activation="relu6", name="stem")(inputs)
    y = normalized(layers.Conv2D(8, 1, name="expand")(x), "expand")
    y = normalized(layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(y), "depthwise")
    gate = layers.Reshape((1, 1, 16))(layers.GlobalAveragePooling2D()(y))
    gate = layers.Conv2D(4, 1, activation="relu", name="squeeze")(gate)
    y = layers.Multiply()([y, layers.Conv2D(16, 1, activation="hard_sigmoid", name="excite")(gate)])
    y = layers.Conv2D(6, 1, name="narrow")(y)
    x = layers.Add()([x, layers.Dropout(0.2, noise_shape=(None, 1, 1, 1))(y)])
    x = layers.SeparableConv2D(7, 3, name="separable")(x)
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(inputs, layers.Dense(3, name="classes")(x), name="mobilenet")


def conv1d() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((20, 2)),
            layers.Conv1D(6, 5, padding="causal", name="conv1"),
            layers.BatchNormalization(name="bn"),
            layers.Activation("relu"),
            layers.MaxPooling1D(2),
            layers.Conv1D(4, 3, name="conv2"),
            layers.Dense(5, name="per_step"),
            layers.Flatten(),
            layers.Dense(3, name="classes"),
        ],
        name="m",
    )


def conv3d() -> keras.Model:
    inputs = keras.Input((6, 6, 6, 1))
    x = layers.LeakyReLU()(layers.Conv3D(4, 3, name="conv1")(inputs))
    x = layers.Conv3D(6, 2, name="conv2")(layers.AveragePooling3D(2)(x))
    return keras.Model(inputs, layers.Dense(3, name="classes")(layers.Flatten()(x)), name="voxels")


def shared() -> keras.Model:
    """One convolution at two places, whose outputs are subtracted."""
    left, right = keras.Input((8, 8, 2)), keras.Input((8, 8, 2))
    conv, second = layers.Conv2D(6, 3, name="conv"), layers.Conv2D(5, 3, name="second")
    x = layers.Flatten()(layers.Subtract()([second(conv(left)), second(conv(right))]))
    return keras.Model([left, right], layers.Dense(3, name="classes")(x), name="siamese")


def tucker() -> keras.Model:
    """Factorized convolutions: pruning goes on with the factors."""
    return factorize(
        randomized(residual()), {"conv1": Configuration("tucker", (4, 4)), "conv3": Configuration("svd", (6,))}
    )


NETWORKS: dict[str, Callable[[], keras.Model]] = {
    build.__name__: build for build in (lenet, residual, inception, mobilenet, conv1d, conv3d, shared, tucker)
}


def randomized(model: keras.Model, seed: int = 0) -> keras.Model:
    """The model with all weights random and positive, as variances need; its kernels of both signs."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        low = -1.0 if "kernel" in weight.path else 0.1
        weight.assign(rng.uniform(low, 1.0, weight.shape))
    return model


def samples(model: keras.Model) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(1)
    return [rng.standard_normal((4, *tensor.shape[1:])).astype("float32") for tensor in model.inputs]


def outputs(model: keras.Model, x: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    result: NDArray[np.float32] = keras.ops.convert_to_numpy(model(x if len(x) > 1 else x[0], training=False))
    return result


def silence(model: keras.Model, kept: Mapping[str, int], seed: int = 2) -> None:
    """Makes as many filters of each layer give nothing as are to go, the same ones where layers are tied."""
    rng = np.random.default_rng(seed)
    channels = channel_map(model)
    dead: list[int] = []
    for path, count in kept.items():
        own = channels.group[channels.filters[path]]
        alive = np.setdiff1d(own, [*dead, *channels.kept_because])
        lost = len(own) - count - int(np.isin(own, dead).sum())
        dead += rng.choice(alive, lost, replace=False).tolist()
    for weight in model.weights:
        for axis, own in channels.axes.get(id(weight), {}).items():
            # Weights on an axis of inputs may stay, for these are zero.
            if axis != -2 and not weight.path.endswith(("variance", "gamma")):
                array = keras.ops.convert_to_numpy(weight).copy()
                np.moveaxis(array, axis, 0)[np.isin(channels.group[own], dead)] = 0
                weight.assign(array)


@pytest.mark.parametrize("criterion", ["l1", "l2"])
@pytest.mark.parametrize("network", NETWORKS)
def test_filters_that_do_nothing_go_without_a_trace(network: str, criterion: str, tmp_path: Path) -> None:
    model = randomized(NETWORKS[network]())
    silence(model, prune(model, 0.6, criterion, dense=True).kept)
    x, before = samples(model), model.get_weights()
    pruned = prune(model, 0.6, criterion, dense=True).model
    assert_same_up_to_rounding(outputs(pruned, x), outputs(model, x))
    assert pruned.count_params() < model.count_params()
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    pruned.save(tmp_path / "pruned.keras")
    loaded = keras.saving.load_model(tmp_path / "pruned.keras")
    np.testing.assert_allclose(outputs(loaded, x), outputs(pruned, x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("network", NETWORKS)
def test_the_copy_that_keeps_everything_gives_the_same_outputs(network: str, criterion: str) -> None:
    model = randomized(NETWORKS[network]())
    pruned = prune(model, 1.0, criterion)
    assert type(pruned.model) is type(model)
    assert pruned.model.name == model.name
    assert [layer.name for layer in pruned.model.layers] == [layer.name for layer in model.layers]
    assert_same_up_to_rounding(outputs(pruned.model, samples(model)), outputs(model, samples(model)))


EXPECTED: dict[str, tuple[float, dict[str, int], int]] = {
    # keep, filters kept, and the params that follow: kernels, biases, BatchNorm, PReLU, ..
    "lenet": (
        0.5,
        {"conv1": 3, "conv2": 4},
        (9 * 2 * 3 + 3) + (9 * 3 * 4 + 4) + 4 + (3 * 3 * 4 * 10 + 10) + (10 * 4 + 4),
    ),
    "residual": (
        0.5,
        {"stem": 3, "conv1": 2, "conv2": 3, "conv3": 4, "project": 4},
        (9 * 3 * 3 + 4 * 3) + (9 * 3 * 2 + 2 + 4 * 2) + (9 * 2 * 3 + 3 + 4 * 3) + (9 * 3 * 4 + 4) + (3 * 4 + 4) + 15,
    ),
    "inception": (
        0.5,
        {"stem": 3, "a": 2, "b": 2, "b_in": 2, "last": 2},
        (9 * 3 * 3 + 3) + (3 * 2 + 2) + (3 * 2 + 2) + (9 * 2 * 2 + 2) + 4 * 7 + (9 * 7 * 2 + 2) + (4 * 2 * 3 + 3),
    ),
    "mobilenet": (
        0.5,
        {"stem": 3, "expand": 4, "squeeze": 2, "excite": 8, "narrow": 3, "separable": 4},
        (27 * 3 + 3) + (3 * 4 + 4 + 16) + (9 * 8 + 8 + 32) + (8 * 2 + 2) + (2 * 8 + 8) + (8 * 3 + 3)
        + (9 * 3 + 3 * 4 + 4) + (4 * 3 + 3),
    ),
    "conv1d": (
        0.5,
        {"conv1": 3, "conv2": 2},
        (5 * 2 * 3 + 3) + 4 * 3 + (3 * 3 * 2 + 2) + (2 * 5 + 5) + (8 * 5 * 3 + 3),
    ),
    "conv3d": (0.5, {"conv1": 2, "conv2": 3}, (27 * 2 + 2) + (8 * 2 * 3 + 3) + (3 * 3 + 3)),
    "shared": (0.5, {"conv": 3, "second": 2}, (9 * 2 * 3 + 3) + (9 * 3 * 2 + 2) + (16 * 2 * 3 + 3)),
}  # fmt: skip


@pytest.mark.parametrize("network", EXPECTED)
def test_what_is_left_is_what_an_independent_count_says(network: str) -> None:
    keep, kept, params = EXPECTED[network]
    pruned = prune(randomized(NETWORKS[network]()), keep)
    assert pruned.kept == kept
    assert pruned.model.count_params() == params


def test_the_factors_of_a_factorized_network_are_pruned() -> None:
    pruned = prune(tucker(), 0.5)
    assert pruned.kept == {
        "stem": 3, "conv1_tucker_in": 2, "conv1_tucker_core": 2, "conv1_tucker_out": 2, "conv2": 3,
        "conv3_svd_in": 3, "conv3_svd_out": 4, "project": 4,
    }  # fmt: skip


def test_the_filters_of_least_importance_go() -> None:
    model = randomized(lenet())
    kernel = model.get_layer("conv2").kernel
    scale = np.array([5, 1, 6, 2, 7, 3, 8, 4])
    kernel.assign(np.ones(kernel.shape) * scale)
    pruned = prune(model, {"conv2": 3}, "l1").model
    np.testing.assert_array_equal(pruned.get_layer("conv2").kernel[0, 0, 0], [6, 7, 8])
    assert pruned.get_layer("conv1").filters == 6


def test_tied_filters_go_by_the_sum_of_their_importance() -> None:
    model = randomized(residual())
    project, conv3 = model.get_layer("project").kernel, model.get_layer("conv3").kernel
    project.assign(np.broadcast_to([20, 0, 0, 0, 0, 0, 0, 20], project.shape))
    conv3.assign(np.broadcast_to([0, 1, 1, 0, 0, 2, 0, 0], conv3.shape))
    pruned = prune(model, {"project": 3}).model
    np.testing.assert_array_equal(pruned.get_layer("conv3").kernel[0, 0, 0], [0, 2, 0])
    np.testing.assert_array_equal(pruned.get_layer("project").kernel[0, 0, 0], [20, 0, 20])


def test_the_criteria_are_the_papers() -> None:
    filters = np.array([[0.0, 0.0], [3.0, 4.0], [-3.0, -4.0], [0.5, 0.0]])
    kernel = filters.T.reshape(1, 2, 4)
    np.testing.assert_allclose(filter_importance(kernel, "l1"), [0, 7, 7, 0.5])
    np.testing.assert_allclose(filter_importance(kernel, "l2"), [0, 5, 5, 0.5])
    distances = [sum(float(np.linalg.norm(one - other)) for other in filters) for one in filters]
    np.testing.assert_allclose(filter_importance(kernel, "geometric_median"), distances)
    with pytest.raises(UserError, match="unknown criterion 'l3'"):
        filter_importance(kernel, "l3")


def test_what_is_not_understood_is_left_as_it_is_with_the_reason() -> None:
    inputs = keras.Input((8, 8, 2))
    inner = keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(4, 3, padding="same", name="deep")], name="inner")
    x = layers.Conv2D(4, 3, padding="same", name="before_nested")(inputs)
    x = layers.Conv2D(4, 3, padding="same", name="free")(inner(x))
    x = layers.Conv2D(4, 3, padding="same", name="before_norm")(x)
    x = layers.Conv2D(4, 3, padding="same", groups=2, name="grouped")(layers.LayerNormalization(name="ln")(x))
    x = layers.Conv2D(4, 3, padding="same", activation="softmax", name="mixing")(x)
    x = layers.Conv2D(4, 3, padding="same", name="before_permute")(x)
    x = layers.Flatten()(layers.Permute((3, 1, 2), name="permute")(x))
    model = randomized(keras.Model(inputs, layers.Dense(3, name="classes")(x), name="odd"))
    pruned = prune(model, 0.5)
    assert pruned.kept == {"free": 2}
    assert pruned.skipped == {
        "inner/deep": "is in a nested model; prune that model by itself",
        "before_nested": "feeds 'inner/deep', which is in a nested model; prune that model by itself",
        "before_norm": "feeds 'ln', which is a LayerNormalization, through which channels aren't followed",
        "grouped": "is a grouped convolution (groups 2)",
        "mixing": "goes through the activation of 'mixing', which may mix channels",
        "before_permute": "feeds 'permute', which is a Permute, through which channels aren't followed",
        "classes": "gives an output of the model",
    }
    whole = prune(model, 1.0).model
    assert_same_up_to_rounding(outputs(whole, samples(model)), outputs(model, samples(model)))


def test_a_sum_with_the_input_keeps_all_filters() -> None:
    inputs = keras.Input((8, 8, 4))
    x = layers.Add()([inputs, layers.Conv2D(4, 3, padding="same", name="conv")(inputs)])
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.Lambda(lambda x: 2 * x, name="twice")(x))))
    with pytest.raises(UserError, match="can be pruned .*conv: is tied to the model's input"):
        prune(model, 0.5)


def test_parts_of_a_layer_may_be_tied_to_different_layers() -> None:
    """A concatenation that is added to one wide convolution: its halves are pruned each with its branch."""
    inputs = keras.Input((4, 4, 2))
    a, b = (layers.Conv2D(width, 1, name=name)(inputs) for name, width in (("a", 4), ("b", 6)))
    x = layers.Add()([layers.Concatenate()([a, b]), layers.Conv2D(10, 1, name="wide")(inputs)])
    x = layers.GlobalAveragePooling2D()(x)
    model = randomized(keras.Model(inputs, layers.Dense(3, name="classes")(x), name="halves"))
    assert prune(model, 0.5).kept == {"a": 2, "b": 3, "wide": 5}
    with pytest.raises(UserError, match="'wide' are tied in several groups"):
        prune(model, {"wide": 5})


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (0.0, "keep must be a fraction"),
        (1.5, "keep must be a fraction"),
        ({"conv1": 0}, "has 5 filters; keep from 1 to 5"),
        ({"conv1": 6}, "has 5 filters; keep from 1 to 5"),
        ({"stem": 3, "conv2": 4}, "conv2, stem are added, so they must keep"),
        ({"cnv1": 3}, "unknown layer 'cnv1'; did you mean 'conv1'"),
        ({"classes": 2}, "layer 'classes' cannot be pruned: it gives an output"),
    ],
)
def test_numbers_that_are_not_possible_are_refused(keep: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        prune(residual(), keep)


@pytest.mark.skipif(not (DATA / "models").exists(), reason="needs the pretrained models of RANKLINE_DATA")
def test_resnet20_loses_the_inner_filters_of_its_blocks() -> None:
    """Its shortcuts pad channels through Permute layers, so that the sums keep theirs."""
    model = keras.saving.load_model(DATA / "models" / "resnet20_cifar10.keras")
    pruned = prune(model, 0.5, "geometric_median")
    assert pruned.kept == {f"layer{s}_{b}_conv1": 8 * 2 ** (s - 1) for s in (1, 2, 3) for b in range(3)}
    lost = 0
    for stage in (1, 2, 3):
        width = 16 * 2 ** (stage - 1)
        for block in range(3):
            inputs = width // 2 if stage > 1 and block == 0 else width
            lost += width // 2 * (9 * inputs + 9 * width + 4)
    assert pruned.model.count_params() == model.count_params() - lost
