"""Surgery on every kind of graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.model.surgery import factor_chain, factor_names, factorize
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import UserError
from rankline.src.dse.formula import original_cost
from rankline.src.dse.keras_model.reader import read
from rankline.src.dse.keras_model.source import load_model
from rankline.src.dse.symbols import layer_shape
from tests.helpers.chains import polynomials
from tests.helpers.models import (
    CP,
    MODELS,
    SVD,
    TUCKER,
    full_rank,
    inputs_of,
    nested,
    outputs_of,
    randomized,
    residual,
    same,
    sequential,
    strided,
    tied,
)
from tests.helpers.rounding import assert_same_up_to_rounding

layers = keras.layers


@pytest.mark.parametrize("kind", MODELS)
def test_full_rank_gives_the_original_outputs_and_leaves_the_original_alone(kind: str) -> None:
    build, plan = MODELS[kind]
    model = build()
    x, config, weights = inputs_of(model), model.to_json(), model.get_weights()
    expected = outputs_of(model, x)
    result = factorize(model, full_rank(model, plan))
    for ours, theirs in zip(outputs_of(result, x), expected, strict=True):
        assert_same_up_to_rounding(ours, theirs)
    result.set_weights([weight + 1 for weight in result.get_weights()])
    assert model.to_json() == config
    for now, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize("kind", MODELS)
def test_every_planned_layer_becomes_its_chain_and_nothing_else_changes(kind: str) -> None:
    build, plan = MODELS[kind]
    model = build()
    result = factorize(model, plan)
    assert result.name == model.name
    assert [t.shape for t in result.outputs] == [t.shape for t in model.outputs]
    replaced = {path.rpartition("/")[2] for path in plan}
    factors = [layer for path, choice in plan.items() for layer in factor_chain(result, path, choice)]
    names = {layer.name for layer in leaves(result)}
    kept = {layer.name for layer in leaves(model)} - replaced
    assert names == kept | {layer.name for layer in factors}
    for layer in leaves(model):
        for other in leaves(result):
            if layer.name == other.name:
                for ours, theirs in zip(other.get_weights(), layer.get_weights(), strict=True):
                    np.testing.assert_array_equal(ours, theirs)


def leaves(model: keras.Model) -> list[keras.Layer]:
    return [layer for layer in model._flatten_layers() if not isinstance(layer, keras.Model)]


@pytest.mark.parametrize("kind", MODELS)
def test_saved_model_is_bit_equal_with_stock_layers(kind: str, tmp_path: Path) -> None:
    build, plan = MODELS[kind]
    result = factorize(build(), plan)
    result.save(tmp_path / "small.keras")
    loaded = keras.saving.load_model(tmp_path / "small.keras")
    x = inputs_of(result)
    for ours, theirs in zip(outputs_of(loaded, x), outputs_of(result, x), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [type(layer) for layer in leaves(loaded)] == [type(layer) for layer in leaves(result)]
    assert all(type(layer).__module__.startswith("keras.") for layer in leaves(loaded))


def test_nested_models_keep_their_structure() -> None:
    build, plan = MODELS["nested"]
    result = factorize(build(), plan)
    assert isinstance(result.get_layer("middle"), keras.Sequential)
    chain = result.get_layer("middle").get_layer("inner").layers[1:]
    assert [layer.name for layer in chain] == ["conv1_tucker_in", "conv1_tucker_core", "conv1_tucker_out"]
    assert factor_chain(result, "middle/inner/conv1", TUCKER) == chain
    assert factor_names("middle/conv2", SVD) == ["middle/conv2_svd_in", "middle/conv2_svd_out"]


def test_a_layer_of_two_paths_takes_one_choice_and_stays_one_layer() -> None:
    model = tied()
    for plan in ({"inner/fc": SVD}, {"middle/inner/fc": SVD}, {"inner/fc": SVD, "middle/inner/fc": SVD}):
        result = factorize(model, plan)
        assert factor_chain(result, "inner/fc", SVD) == factor_chain(result, "middle/inner/fc", SVD)
        assert len(result.weights) == 3
        kept = factorize(model, {"middle/inner/fc": SVD}, keep=(result, plan))
        assert same(kept.get_weights(), result.get_weights())
    with pytest.raises(UserError, match="is shared and planned under another path"):
        factorize(model, {"inner/fc": SVD, "middle/inner/fc": Configuration("svd", (1,))})


def test_an_empty_plan_copies_the_model() -> None:
    model = residual()
    x = inputs_of(model)
    for ours, theirs in zip(outputs_of(factorize(model, {}), x), outputs_of(model, x), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_frozen_layers_and_models_stay_frozen() -> None:
    model = nested()
    model.get_layer("middle").trainable = False
    result = factorize(model, {"middle/conv2": SVD, "head": SVD})
    assert not result.get_layer("middle").trainable_weights
    assert len(result.trainable_weights) == 3


def test_a_compiled_model_with_a_custom_loss_is_factorized() -> None:
    model = sequential()
    model.compile(loss=lambda truth, guess: keras.ops.mean((truth - guess) ** 2))
    assert not factorize(model, {"conv1": TUCKER}).compiled
    graph = residual()
    graph.compile(loss={"a": lambda truth, guess: guess, "b": "mse"})
    assert not factorize(graph, {"conv1": TUCKER}).compiled


def test_what_layers_hold_beside_weights_is_copied() -> None:
    def swish_like(x: Any) -> Any:
        return x * keras.ops.sigmoid(2 * x)

    normalization = layers.Normalization(name="normalization")
    normalization.adapt(np.random.default_rng(0).normal(3, 2, (50, 4)).astype("float32"))
    start = keras.Input((4,))
    x = layers.Dense(6, activation=swish_like, name="custom")(normalization(start))
    x = layers.Lambda(lambda t: t**2)(x)
    x = layers.Lambda(swish_like)(x)
    model = keras.Model(start, layers.Dense(3, activation=swish_like, name="head")(x))
    data = inputs_of(model)
    np.testing.assert_array_equal(outputs_of(factorize(model, {}), data), outputs_of(model, data))
    result = factorize(model, {"head": Configuration("svd", (3,))})
    assert_same_up_to_rounding(outputs_of(result, data)[0], outputs_of(model, data)[0])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="text as input needs the TensorFlow backend")
def test_vocabulary_is_copied() -> None:
    words = layers.TextVectorization(output_sequence_length=3)
    words.adapt(["one two three", "two three"])
    start = keras.Input((), dtype="string")
    x = layers.Embedding(words.vocabulary_size(), 4)(words(start))
    model = keras.Model(start, layers.Dense(2, name="head")(x))
    text = keras.ops.convert_to_tensor(["two one", "three"])
    np.testing.assert_array_equal(outputs_of(factorize(model, {}), text), outputs_of(model, text))


def test_bfloat16_and_half_precision_layers_are_factorized() -> None:
    for dtype, unit in (("bfloat16", 2**-8), ("float16", 2**-11), ("mixed_bfloat16", 2**-8)):
        model = randomized(keras.Sequential([keras.Input((8,)), layers.Dense(6, dtype=dtype, name="head")]))
        result = factorize(model, {"head": Configuration("svd", (6,))})
        assert {layer.dtype_policy.name for layer in result.layers} == {dtype}
        x = np.ones((1, 8), "float32")
        ours, theirs = (np.asarray(outputs_of(m, x), "float32") for m in (result, model))
        # Rounded to the dtype: the kernel and the output of the layer, and of both factors.
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=6 * unit * np.abs(theirs).max())


def test_a_model_with_own_layers_is_saved_loaded_and_counted(tmp_path: Path) -> None:
    model = strided()
    plan = {"conv1": CP, "conv2": CP, "conv3": CP}
    result = factorize(model, plan)
    result.save(tmp_path / "small.keras")
    loaded, x = load_model(str(tmp_path / "small.keras")), inputs_of(model)
    assert same(outputs_of(loaded, x), outputs_of(result, x))
    before, after = cost_of(model), cost_of(result)
    originals = [original_cost(layer_shape(layer)) for layer in read(model)]
    chains = [polynomials(plan[layer.name].method, layer).cost(plan[layer.name].ranks) for layer in read(model)]
    assert after == Cost(*(
        getattr(before, name) + sum(getattr(one, name) for one in chains) - sum(getattr(one, name) for one in originals)
        for name in ("params", "fm", "flops")
    ))  # fmt: skip


def test_a_class_of_the_users_own_that_keeps_the_call_is_factorized_as_what_it_derives_from() -> None:
    class Own(layers.Conv2D):  # type: ignore[misc]
        pass

    model = randomized(keras.Sequential([keras.Input((6, 6, 4)), Own(5, 3, name="own")]))
    (listed,) = read(model)
    assert listed.kept_because is None
    result, x = factorize(model, {"own": Configuration("svd", (5,))}), inputs_of(model)
    assert [type(layer) for layer in result.layers] == [layers.Conv2D] * 2
    assert_same_up_to_rounding(outputs_of(result, x)[0], outputs_of(model, x)[0])


def test_layers_decomposed_side_by_side_are_those_decomposed_alone() -> None:
    model, (_, plan) = residual(), MODELS["residual by CP and TT"]
    together = factorize(model, plan)
    assert same(factorize(model, plan).get_weights(), together.get_weights())
    for path, choice in plan.items():
        for ours, alone in zip(
            factor_chain(together, path, choice),
            factor_chain(factorize(model, {path: choice}), path, choice),
            strict=True,
        ):
            for one, other in zip(ours.get_weights(), alone.get_weights(), strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


# Errors.


class Subclassed(keras.Model):
    def call(self, x: Any) -> Any:
        return x


class OwnCall(layers.Conv2D):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        return super().call(x) ** 2


def odd_layers() -> keras.Model:
    start = keras.Input((8, 8, 4))
    x = OwnCall(4, 3, name="own")(start)
    x = layers.Conv2D(4, 3, groups=2, name="grouped")(x)
    return keras.Model(start, layers.Conv2DTranspose(4, 3, name="transposed")(x), name="odd")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("conv", "unknown layer 'conv'"),
        ("own", "is a OwnCall, which has a call of its own"),
        ("transposed", "is a Conv2DTranspose, and only Dense"),
        ("grouped", r"grouped convolution \(groups 2\)"),
    ],
)
def test_layers_that_cannot_be_factorized_are_refused(path: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        factorize(odd_layers(), {path: SVD})


def test_errors_name_the_layer_and_what_is_possible() -> None:
    model = nested()
    with pytest.raises(UserError, match="did you mean 'middle/conv2'"):
        factorize(model, {"middle/conv22": SVD})
    with pytest.raises(UserError, match=r"layer 'head': svd .* from 1 to \(5,\); got \(6,\)"):
        factorize(model, {"head": Configuration("svd", (6,))})
    with pytest.raises(UserError, match="layer 'head': .* CP factorizes convolutions"):
        factorize(model, {"head": CP})
    model.get_layer("head").kernel.assign(np.full(model.get_layer("head").kernel.shape, np.nan))
    with pytest.raises(UserError, match="layer 'head': the weights hold NaN"):
        factorize(model, {"head": SVD})
    with pytest.raises(UserError, match=r"'outer' has no tucker factors of layer 'head'"):
        factor_chain(model, "head", TUCKER)


def test_models_without_a_graph_or_not_built_are_refused() -> None:
    with pytest.raises(UserError, match="is a Subclassed, whose graph isn't known"):
        factorize(Subclassed(), {})
    with pytest.raises(UserError, match="is not built; call it on data"):
        factorize(keras.Sequential([layers.Dense(3)]), {})


def test_a_layer_that_cannot_be_made_again_is_named() -> None:
    class Scaled(keras.Layer):
        def __init__(self, scale: float) -> None:
            super().__init__(name="scaled")
            self.scale = scale

        def call(self, x: Any) -> Any:
            return x * self.scale

        def get_config(self) -> dict[str, Any]:
            return {}

    model = keras.Sequential([keras.Input((3,)), Scaled(2.0)])
    with pytest.raises(UserError, match=r"layer 'scaled' \(Scaled\) cannot be made again"):
        factorize(model, {})
