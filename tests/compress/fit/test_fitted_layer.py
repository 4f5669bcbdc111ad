"""Which layers are fitted, and what belongs to each."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from rankline.src.compress.fit.fitted_layer import FittedLayer, fitted_layers_of, out_of_reach
from rankline.src.dse.keras_model.graph import Call, trace
from tests.helpers import networks
from tests.helpers.networks import network, samples_of
from tests.helpers.rounding import assert_same_up_to_rounding, rounding_bound

layers = keras.layers


def found(model: keras.Model) -> tuple[list[Call], dict[str, FittedLayer]]:
    calls = trace(model)
    return calls, fitted_layers_of(calls)


def facts(model: keras.Model) -> dict[str, tuple[str | None, bool, bool]]:
    """The BatchNorm, whether there is a residual sum, and whether a ReLU follows, by path."""
    return {
        path: (None if fitted.normalization is None else fitted.normalization.name, fitted.add is not None, fitted.relu)
        for path, fitted in fitted_layers_of(trace(model)).items()
    }


def test_batch_norm_sum_and_relu_belong_to_the_layer_before() -> None:
    assert facts(network("identity")[0]) == {
        "a": ("a_bn", False, True),
        "b": ("b_bn", False, True),
        "c": ("c_bn", True, True),
        "d": (None, False, False),
    }
    assert facts(network("projection")[0])["p"] == ("p_bn", True, True)


def test_what_is_no_unit_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankline.src.compress.fit.fitted_layer.LARGEST_PATCH", 40)
    inputs = keras.Input((6, 6, 4))
    twice = layers.Conv2D(4, 3, padding="same", name="twice")
    x = layers.Conv2D(4, 3, groups=2, name="grouped")(twice(twice(inputs)))
    model = keras.Model(inputs, layers.Dense(2, name="head")(layers.Flatten(name="flat")(x)))
    calls, fitted_layers = found(model)
    reasons = out_of_reach(calls)
    assert not fitted_layers
    assert reasons["twice"] == "it is called several times, and one call gets what depends on another"
    assert reasons["grouped"].startswith("it is a grouped convolution")
    assert reasons["head"] == "its patches have 64 dimensions, and layers are fitted up to 40"
    monkeypatch.setattr("rankline.src.compress.fit.fitted_layer.LARGEST_PATCH", 64)
    assert set(fitted_layers_of(calls)) == {"head"}
    assert "head" not in out_of_reach(calls)


def test_a_shared_layer_is_fitted_to_all_its_calls_with_what_follows_at_each() -> None:
    calls, fitted_layers = found(network("siamese")[0])
    assert facts(network("siamese")[0]) == {
        "base/a": ("a_bn", False, True), "base/b": (None, False, True), "base/c": (None, False, False),
        "d": (None, False, False),
    }  # fmt: skip
    for path, fitted in fitted_layers.items():
        assert [calls[index].path for index in fitted.calls] == [path] * (1 if path == "d" else 2)
    left, right, both = keras.Input((4,)), keras.Input((4,)), layers.Dense(3, name="both")
    assert not facts(keras.Model([left, right], [layers.ReLU()(both(left)), both(right)]))["both"][2]


def test_layers_that_are_called_in_turn_cannot_be_fitted_at_once() -> None:
    one, other = layers.Dense(4, name="one"), layers.Dense(4, name="other")
    left, right = keras.Input((4,)), keras.Input((4,))
    calls = trace(keras.Model([left, right], [other(one(left)), layers.Dense(2, name="head")(one(other(right)))]))
    assert set(fitted_layers_of(calls)) == {"head"}
    assert set(out_of_reach(calls)) >= {"one", "other"}


def test_an_activation_of_its_own_ends_the_unit() -> None:
    assert facts(network("sequential")[0]) == {
        "a": (None, False, True), "b": (None, False, True), "c": (None, False, False), "d": (None, False, False),
    }  # fmt: skip
    assert facts(network("before the activation")[0])["a"] == (None, False, True)


def test_what_is_used_twice_or_put_out_belongs_to_no_unit() -> None:
    assert facts(network("one norm for two")[0])["a"] == (None, False, False)
    inputs = keras.Input((6, 6, 4))
    x = layers.Conv2D(6, 3, name="a")(inputs)
    y = layers.BatchNormalization(name="n")(x)
    assert facts(keras.Model(inputs, [layers.ReLU()(y), layers.ReLU()(x)])) == {"a": (None, False, False)}
    assert facts(keras.Model(inputs, [layers.ReLU()(y), y])) == {"a": ("n", False, False)}
    assert facts(keras.Model(inputs, [layers.ReLU()(y), x])) == {"a": (None, False, False)}


@pytest.mark.parametrize(
    ("after", "relu"),
    [
        (layers.ReLU(), True),
        (layers.Activation("relu"), True),
        (layers.ReLU(max_value=6), False),
        (layers.ReLU(negative_slope=0.1), False),
        (layers.ReLU(threshold=1.0), False),
        (layers.LeakyReLU(), False),
        (layers.Activation("gelu"), False),
    ],
)
def test_only_a_plain_relu_is_one(after: keras.Layer, relu: bool) -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="a"), after, layers.Dense(2, name="b")])
    assert facts(model)["a"] == (None, False, relu)


def test_an_add_of_one_map_with_itself_or_of_other_sizes_is_no_residual_sum() -> None:
    assert not facts(network("operations")[0])["a"][1]
    assert not facts(network("gated")[0])["b"][1]


def test_layers_that_cannot_be_fitted_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = keras.Input((8, 8, 4))
    x = layers.Conv2D(8, 3, groups=2, name="grouped")(inputs)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    shared = layers.Conv2D(8, 1, name="shared")
    x = layers.Flatten()(layers.Conv2D(4, 3, name="large")(shared(shared(x))))
    model = keras.Model(inputs, layers.Dense(3, name="d")(x))
    assert list(found(model)[1]) == ["large", "d"]
    monkeypatch.setattr("rankline.src.compress.fit.fitted_layer.LARGEST_PATCH", 71)
    assert list(found(model)[1]) == ["d"]


@pytest.mark.parametrize(("kind", "path"), [("identity", "a"), ("unscaled", "b"), ("unscaled", "c"), ("sound", "b")])
def test_patches_times_the_kernel_are_the_whole_layer_up_to_a_bias(kind: str, path: str) -> None:
    model, _ = network(kind)
    _, fitted_layers = found(model)
    fitted = fitted_layers[path]
    inputs = keras.Model(model.inputs, fitted.layer.input)
    x = keras.ops.convert_to_numpy(inputs(keras.ops.convert_to_tensor(samples_of(model, 5)[0])))
    whole = fitted.outputs(keras.ops.convert_to_numpy(fitted.whole(keras.ops.convert_to_tensor(x))))
    rows = fitted.inputs(x).reshape(-1, fitted.weights_shape[0])
    assert fitted.positions(whole.shape) == len(rows)
    made = rows @ fitted.kernel()
    whole = whole.reshape(made.shape)
    assert_same_up_to_rounding(made + (whole - made)[0], whole)


def test_channels_first_are_turned_and_back() -> None:
    inputs = keras.Input((4, 6, 6))
    layer = layers.Conv2D(3, 3, data_format="channels_first", name="a")
    model = keras.Model(inputs, layers.BatchNormalization(axis=1, name="n")(layer(inputs)))
    calls, fitted_layers = found(model)
    fitted = fitted_layers["a"]
    assert fitted.ends == tuple(index for index, call in enumerate(calls) if call.path == "n")
    maps = np.zeros((2, 3, 4, 5))
    assert fitted.outputs(maps).shape == (2, 4, 5, 3)
    assert fitted.map_of(fitted.outputs(maps)).shape == maps.shape
    other = keras.Model(inputs, layers.BatchNormalization(axis=-1)(layer(inputs)))
    assert found(other)[1]["a"].normalization is None


def test_the_layer_without_its_activation_has_its_weights() -> None:
    model = networks.randomized(networks.sequential())
    fitted = found(model)[1]["c"]
    assert fitted.layer.activation is keras.activations.tanh
    x = np.random.default_rng(0).standard_normal((2, *fitted.layer.input.shape[1:])).astype("float32")
    difference = np.abs(np.tanh(fitted.linear(x)) - keras.ops.convert_to_numpy(fitted.layer(x)))
    np.testing.assert_array_less(difference, 2 * rounding_bound([fitted.layer], x))
