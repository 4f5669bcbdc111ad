"""Feature maps on their way through a graph: none is held longer than it is needed."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from rankline.src.dse.keras_model.graph import feature_maps, peak_elements, trace
from tests.helpers.rounding import assert_same_up_to_rounding

layers = keras.layers


def with_a_shortcut() -> keras.Model:
    x = keras.Input((4,))
    a = layers.Dense(10, name="a")(x)
    return keras.Model(x, layers.Add()([a, layers.Dense(10, name="b")(a)]))


def test_the_peak_is_what_has_still_to_be_used_and_what_is_made() -> None:
    assert peak_elements(trace(with_a_shortcut())) == 3 * 10
    chain = keras.Sequential([keras.Input((4,)), *(layers.Dense(size) for size in (7, 9, 5))])
    assert peak_elements(trace(chain)) == 7 + 9


def test_maps_are_handed_over_as_they_are_made_and_let_go_after_their_last_use() -> None:
    inner = keras.Sequential([keras.Input((6,)), *(layers.Dense(6) for _ in range(4))], name="inner")
    x = keras.Input((6,))
    model = keras.Model(x, layers.Dense(2)(inner(layers.Dense(6)(x))))
    seen: list[weakref.ref[Any]] = []
    alive: list[int] = []

    def receive(index: int, given: Sequence[Any], output: Any) -> None:
        seen.append(weakref.ref(output))
        alive.append(sum(one() is not None for one in seen))

    calls = trace(model)
    feature_maps(model, [keras.ops.ones((3, 6))], range(len(calls)), receive)
    assert len(seen) == 6
    assert max(alive) <= 3  # what goes in, what comes out, and the input of the inner model


def test_the_maps_are_those_of_the_model() -> None:
    model = with_a_shortcut()
    samples = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    found: dict[str, Any] = {}
    calls = trace(model)

    def receive(index: int, given: Sequence[Any], output: Any) -> None:
        found[calls[index].path] = keras.ops.convert_to_numpy(output)

    feature_maps(model, [keras.ops.convert_to_tensor(samples)], range(len(calls)), receive)
    for path in ("a", "b"):
        wanted = keras.Model(model.inputs, model.get_layer(path).output).predict(samples, verbose=0)
        assert_same_up_to_rounding(found[path], wanted, roundings=100)


def test_calls_run_one_by_one_are_the_model() -> None:
    """With several outputs of one call, one tensor twice in a call, keyword arguments, and a nested model."""
    x = keras.Input((6, 6, 4))
    inside = keras.Input((6, 6, 4))
    inner = keras.Model(inside, layers.Dropout(0.5)(layers.Dense(4)(inside)), name="inner")
    first, second = keras.ops.split(inner(x), 2, axis=-1)
    y = layers.Add()([second, second])
    y = layers.BatchNormalization()(keras.ops.concatenate([y, first], axis=-1), training=False)
    model = keras.Model(x, [layers.GlobalAveragePooling2D()(y), keras.ops.reshape(y[:, 1:], (-1, 120))])
    samples = np.random.default_rng(0).normal(size=(5, 6, 6, 4)).astype(np.float32)
    calls = trace(model)
    values: list[list[Any]] = []
    for call in calls:
        given = [values[source][output] for source, output in zip(call.inputs, call.sources, strict=True)]
        values.append(call.run(given) if call.inputs else [keras.ops.convert_to_tensor(samples)])
        assert tuple(values[-1][0].shape[1:]) == call.out_shapes[0]
    ends = [value[0] for value, call in zip(values, calls, strict=True) if call.is_output]
    for ours, theirs in zip(ends, model(samples), strict=True):
        assert_same_up_to_rounding(keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs), roundings=200)


def test_sources_say_which_of_the_outputs_goes_in() -> None:
    x = keras.Input((6,))
    first, second = keras.ops.split(x, 2, axis=-1)
    calls = trace(keras.Model(x, layers.Subtract()([second, first])))
    assert calls[-1].inputs == (1, 1)
    assert calls[-1].sources == (1, 0)
    assert calls[0].sources == ()
