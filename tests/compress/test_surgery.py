"""Surgery on every kind of graph, plans as files, and what is kept between two factorizations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from compress.plan import Choice, Plan, plan_from_json, plan_to_json, read_plan, write_plan
from compress.surgery import factor_chain, factor_names, factorize
from dse.errors import UserError

layers = keras.layers

TUCKER, SVD = Choice("tucker", (2, 3)), Choice("svd", (2,))


def randomized(model: keras.Model, seed: int = 0) -> keras.Model:
    """The model with every weight random, BatchNorm statistics included (positive, for variances)."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.1, 1.0, weight.shape) for weight in model.get_weights()])
    return model


def sequential() -> keras.Model:
    return randomized(
        keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                layers.Conv2D(6, 3, padding="same", activation="relu", name="conv1"),
                layers.BatchNormalization(name="norm"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(5, activation="softmax", name="predictions"),
            ],
            name="plain",
        )
    )


def residual() -> keras.Model:
    """Two inputs, two outputs, a branch, a residual sum, bare operations and an inner call argument."""
    image, vector = keras.Input((8, 8, 3), name="image"), keras.Input((4,), name="vector")
    x = layers.Conv2D(6, 3, padding="same", name="conv1")(image)
    y = layers.Conv2D(6, 3, padding="same", name="conv2")(layers.BatchNormalization(name="norm")(x, training=False))
    x = keras.ops.relu(x + y) * 2.0
    x = layers.Conv2D(4, 1, strides=2, name="shortcut")(x)
    x = keras.ops.reshape(x[:, 1:, :, :], (-1, 3 * 4 * 4))
    x = layers.Concatenate()([x, vector])
    outputs = {"a": layers.Dense(3, name="a")(x), "b": layers.Dense(2, name="b")(layers.Dropout(0.5)(x))}
    return randomized(keras.Model({"image": image, "vector": vector}, outputs, name="branching"))


def nested() -> keras.Model:
    """A functional model in a Sequential one, which is called twice, in a functional one."""
    inner_in = keras.Input((6, 6, 4))
    inner = keras.Model(inner_in, layers.Conv2D(4, 3, padding="same", name="conv1")(inner_in), name="inner")
    norm, conv = layers.BatchNormalization(name="norm"), layers.Conv2D(4, 3, padding="same", name="conv2")
    middle = keras.Sequential([keras.Input((6, 6, 4)), inner, norm, conv], name="middle")
    outer_in = keras.Input((6, 6, 4))
    x = layers.Flatten()(middle(middle(outer_in)))
    return randomized(keras.Model(outer_in, layers.Dense(5, name="head")(x), name="outer"))


def tied() -> keras.Model:
    """A model that is called inside another one and beside it (Keras cannot load such a file)."""
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(6, name="fc")], name="inner")
    middle = keras.Sequential([keras.Input((6,)), inner, layers.ReLU()], name="middle")
    outer_in = keras.Input((6,))
    return randomized(keras.Model(outer_in, middle(inner(outer_in)), name="outer"))


def shared() -> keras.Model:
    """One convolution and one dense layer, each called at two places."""
    left, right = keras.Input((8, 8, 4)), keras.Input((8, 8, 4))
    conv, head = layers.Conv2D(4, 3, padding="same", name="conv1"), layers.Dense(5, name="head")
    a, b = conv(conv(left)), conv(right)
    return randomized(keras.Model([left, right], [head(a), head(b)], name="siamese"))


MODELS: dict[str, tuple[Any, Plan]] = {
    "sequential": (sequential, {"conv1": TUCKER, "predictions": SVD}),
    "residual": (residual, {"conv1": SVD, "conv2": TUCKER, "shortcut": TUCKER, "a": SVD}),
    "nested": (nested, {"middle/inner/conv1": TUCKER, "middle/conv2": SVD, "head": SVD}),
    "shared": (shared, {"conv1": TUCKER, "head": SVD}),
}


def inputs_of(model: keras.Model) -> Any:
    rng = np.random.default_rng(1)
    structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    return keras.tree.map_structure(lambda t: rng.standard_normal((2, *t.shape[1:])).astype("float32"), structure)


def outputs_of(model: keras.Model, x: Any) -> list[NDArray[np.float32]]:
    return [keras.ops.convert_to_numpy(output) for output in keras.tree.flatten(model(x, training=False))]


def full_rank(model: keras.Model, plan: Plan) -> Plan:
    """The same methods at the ranks that lose nothing."""
    full: Plan = {}
    for path, choice in plan.items():
        owner = model
        for name in path.split("/"):
            owner = owner.get_layer(name)
        *_, inputs, outputs = owner.kernel.shape
        rows = int(np.prod(owner.kernel.shape[:-1]))
        full[path] = Choice(choice.method, (inputs, outputs) if choice.method == "tucker" else (min(rows, outputs),))
    return full


@pytest.mark.parametrize("kind", MODELS)
def test_full_rank_gives_the_original_outputs_and_leaves_the_original_alone(kind: str) -> None:
    build, plan = MODELS[kind]
    model = build()
    x, config, weights = inputs_of(model), model.to_json(), model.get_weights()
    expected = outputs_of(model, x)
    result = factorize(model, full_rank(model, plan))
    for ours, theirs in zip(outputs_of(result, x), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
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
        factorize(model, {"inner/fc": SVD, "middle/inner/fc": Choice("svd", (1,))})


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
    result = factorize(model, {"head": Choice("svd", (3,))})
    np.testing.assert_allclose(outputs_of(result, data), outputs_of(model, data), rtol=1e-4)


def test_vocabulary_is_copied() -> None:
    words = layers.TextVectorization(output_sequence_length=3)
    words.adapt(["one two three", "two three"])
    start = keras.Input((), dtype="string")
    x = layers.Embedding(words.vocabulary_size(), 4)(words(start))
    model = keras.Model(start, layers.Dense(2, name="head")(x))
    text = keras.ops.convert_to_tensor(["two one", "three"])
    np.testing.assert_array_equal(outputs_of(factorize(model, {}), text), outputs_of(model, text))


def test_bfloat16_and_half_precision_layers_are_factorized() -> None:
    for dtype in ("bfloat16", "float16", "mixed_bfloat16"):
        model = keras.Sequential([keras.Input((8,)), layers.Dense(6, dtype=dtype, name="head")])
        result = factorize(model, {"head": Choice("svd", (6,))})
        assert {layer.dtype_policy.name for layer in result.layers} == {dtype}
        x = np.ones((1, 8), "float32")
        ours, theirs = (np.asarray(outputs_of(m, x), "float32") for m in (result, model))
        np.testing.assert_allclose(ours, theirs, atol=0.05)


# Keeping what a previous factorization has learnt since.


def fine_tuned(model: keras.Model) -> keras.Model:
    model.set_weights([weight + 0.25 for weight in model.get_weights()])
    return model


def weights_at(model: keras.Model, path: str, choice: Choice | None = None) -> list[NDArray[np.float32]]:
    found = factor_chain(model, path, choice) if choice else [model.get_layer(path)]
    return [weight for layer in found for weight in layer.get_weights()]


def same(left: list[NDArray[np.float32]], right: list[NDArray[np.float32]]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def test_keep_takes_what_does_not_change_from_the_previous_model() -> None:
    model, before = residual(), {"conv1": SVD, "conv2": TUCKER, "a": SVD}
    after = {"conv1": SVD, "conv2": Choice("tucker", (1, 2)), "b": Choice("svd", (1,))}
    previous = fine_tuned(factorize(model, before))
    result, fresh = factorize(model, after, keep=(previous, before)), factorize(model, after)
    assert same(weights_at(result, "conv1", SVD), weights_at(previous, "conv1", SVD)), "an unchanged choice"
    assert same(weights_at(result, "norm"), weights_at(previous, "norm")), "planned in neither"
    assert same(weights_at(result, "shortcut"), weights_at(previous, "shortcut")), "planned in neither"
    assert same(weights_at(result, "conv2", after["conv2"]), weights_at(fresh, "conv2", after["conv2"])), "changed"
    assert same(weights_at(result, "b", after["b"]), weights_at(fresh, "b", after["b"])), "newly planned"
    assert same(weights_at(result, "a"), weights_at(model, "a")), "no longer planned"


def test_keep_with_the_same_plan_copies_the_previous_model() -> None:
    for build, plan in MODELS.values():
        model = build()
        previous = fine_tuned(factorize(model, plan))
        assert same(factorize(model, plan, keep=(previous, plan)).get_weights(), previous.get_weights())


def test_keep_refuses_a_model_that_was_not_made_by_its_plan() -> None:
    model = residual()
    with pytest.raises(UserError, match="has no svd factors of layer 'conv1'"):
        factorize(model, {"conv1": SVD}, keep=(model, {"conv1": SVD}))
    with pytest.raises(UserError, match="keep: model 'branching' has no layer 'conv1'"):
        factorize(model, {}, keep=(factorize(model, {"conv1": SVD}), {}))


# Errors.


class Subclassed(keras.Model):
    def call(self, x: Any) -> Any:
        return x


def odd_layers() -> keras.Model:
    start = keras.Input((8, 8, 4))
    x = layers.SeparableConv2D(4, 3, name="separable")(start)
    x = layers.Conv2D(4, 3, groups=2, name="grouped")(x)
    return keras.Model(start, layers.Conv2DTranspose(4, 3, name="transposed")(x), name="odd")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("conv", "unknown layer 'conv'"),
        ("separable/pointwise", "separable convolutions aren't factorized yet"),
        ("separable", "is a SeparableConv2D, and only Dense"),
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
        factorize(model, {"head": Choice("svd", (6,))})
    with pytest.raises(UserError, match="'cp' can be explored"):
        factorize(model, {"middle/conv2": Choice("cp", (2,))})
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


# Plans as files.


def test_plan_file_round_trips(tmp_path: Path) -> None:
    plan = {"conv1": TUCKER, "outer/fc": Choice("t3f", (4,), "4x8:8x4")}
    write_plan(plan, tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan
    text = plan_to_json({"conv1": Choice("tucker", (2, 3))})
    assert text == '{\n  "conv1": {"method": "tucker", "ranks": [2, 3]}\n}\n'
    assert plan_from_json(plan_to_json({})) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object"),
        ('{"a": [1]}', "layer 'a': expected 'method' and 'ranks'"),
        ('{"a": {"method": "svd"}}', "layer 'a': expected 'method' and 'ranks'"),
        ('{"a": {"method": "svd", "ranks": [1], "rank": 1}}', "layer 'a': expected"),
        ('{"a": {"method": "svdd", "ranks": [1]}}', "layer 'a': unknown method 'svdd'; did you mean 'svd'"),
        ('{"a": {"method": "svd", "ranks": [0]}}', "whole numbers of at least 1"),
        ('{"a": {"method": "svd", "ranks": [true]}}', "whole numbers of at least 1"),
        ('{"a": {"method": "svd", "ranks": []}}', "whole numbers of at least 1"),
        ('{"a": {"method": "svd", "ranks": 3}}', "whole numbers of at least 1"),
        ('{"a": {"method": "t3f", "ranks": [1], "shape": 4}}', "shape must be text"),
    ],
)
def test_malformed_plans_are_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    with pytest.raises(UserError, match=f"plan .*plan.json: .*{message}"):
        read_plan(file)


def test_a_missing_plan_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.json cannot be read"):
        read_plan(tmp_path / "nowhere.json")
