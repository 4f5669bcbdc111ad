"""Separable convolutions split into their two layers, and factorized."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.model.separable import split
from rankline.src.compress.model.surgery import factor_chain, factorize, find_layer, refusal
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.reader import read
from tests.helpers.models import SVD, TUCKER, inputs_of, outputs_of, randomized, same
from tests.helpers.rounding import assert_same_up_to_rounding

layers = keras.layers

PLANES = (layers.SeparableConv2D, (9, 8, 4))
KINDS: dict[str, tuple[Any, tuple[int, ...], dict[str, Any]]] = {
    "sounds": (layers.SeparableConv1D, (12, 4), {"dilation_rate": 2}),
    "strided": (*PLANES, {"strides": 2, "padding": "same", "depth_multiplier": 3}),
    "no bias": (*PLANES, {"use_bias": False, "activation": "relu"}),
    "half precision": (*PLANES, {"dtype": "mixed_float16", "activation": "softmax"}),
    "double precision": (*PLANES, {"dtype": "float64"}),
}


def one(kind: str) -> keras.Model:
    make, shape, settings = KINDS[kind]
    return randomized(keras.Sequential([keras.Input(shape), make(6, 3, name="sep", **settings)], name="net"))


def nested() -> keras.Model:
    """A model with a separable convolution that is called twice, in another."""
    inner = keras.Sequential(
        [keras.Input((6, 6, 4)), layers.SeparableConv2D(4, 3, padding="same", name="sep"), layers.BatchNormalization()],
        name="inner",
    )
    start = keras.Input((6, 6, 4))
    x = layers.SeparableConv2D(5, 3, name="last")(inner(inner(start)))
    return randomized(keras.Model(start, x, name="outer"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_split_convolution_computes_and_costs_the_same(kind: str) -> None:
    model = one(kind)
    parts, x = split(model), inputs_of(model)
    assert parts.name == model.name
    for ours, theirs in zip(outputs_of(parts, x), outputs_of(model, x), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=8 * np.finfo(theirs.dtype).eps)
    assert cost_of(parts) == cost_of(model)
    assert [layer.name for layer in read(parts)] == [layer.name for layer in read(model)]
    assert refusal(parts, "sep/pointwise") is None


def test_nothing_to_split_leaves_the_model_as_it_is() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    assert split(model) is model
    assert split(nested(), ["elsewhere/pointwise"]).get_layer("last").__class__ is layers.SeparableConv2D


def test_what_belongs_to_a_separable_convolution_goes_with_its_parts() -> None:
    activation = layers.PReLU()
    sep = layers.SeparableConv2D(
        6, 3, activation=activation, depthwise_regularizer="l1", pointwise_constraint="max_norm", bias_regularizer="l2",
        trainable=False, name="sep",
    )  # fmt: skip
    model = randomized(keras.Sequential([keras.Input((9, 8, 4)), sep]))
    parts = split(model)
    depthwise, pointwise = parts.get_layer("sep").layers
    assert not parts.trainable_weights
    assert isinstance(depthwise.depthwise_regularizer, keras.regularizers.L1)
    assert isinstance(pointwise.kernel_constraint, keras.constraints.MaxNorm)
    assert isinstance(pointwise.bias_regularizer, keras.regularizers.L2)
    assert same(parts.get_weights(), model.get_weights())
    x = inputs_of(model)
    assert_same_up_to_rounding(outputs_of(parts, x)[0], outputs_of(model, x)[0])


@pytest.mark.parametrize("choice", [Configuration("svd", (4,)), Configuration("tucker", (4, 4))])
def test_the_pointwise_part_is_factorized_and_loads_in_plain_keras(choice: Configuration, tmp_path: Path) -> None:
    model = nested()
    result, x = factorize(model, {"inner/sep/pointwise": choice}), inputs_of(model)
    assert_same_up_to_rounding(outputs_of(result, x)[0], outputs_of(model, x)[0])
    assert len(factor_chain(result, "inner/sep/pointwise", choice)) == len(choice.ranks) + 1
    assert isinstance(result.get_layer("last"), layers.SeparableConv2D)
    result.save(tmp_path / "small.keras")
    assert same(outputs_of(keras.saving.load_model(tmp_path / "small.keras"), x), outputs_of(result, x))


def test_tuned_parts_are_kept_whether_or_not_they_are_planned_now() -> None:
    model = nested()
    before = factorize(model, {"last/pointwise": SVD})
    before.set_weights([weight + 1 for weight in before.get_weights()])
    for plan in ({"last/pointwise": SVD, "inner/sep/pointwise": TUCKER}, {"last/pointwise": TUCKER}, {}):
        after = factorize(model, plan, keep=(before, {"last/pointwise": SVD}))
        tuned = [find_layer(one, "last/depthwise") for one in (before, after)]
        assert same(*(layer.get_weights() for layer in tuned if layer is not None))
        assert (find_layer(after, "last/pointwise") is None) == bool(plan)


def test_a_whole_separable_convolution_is_refused_with_what_can_be_planned() -> None:
    with pytest.raises(UserError, match="layer 'last' is a SeparableConv2D, of which only the pointwise part"):
        factorize(nested(), {"last": SVD})
    with pytest.raises(UserError, match="layer 'last/depthwise' is a DepthwiseConv2D, and only Dense"):
        factorize(nested(), {"last/depthwise": SVD})
