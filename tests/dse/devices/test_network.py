"""The latency of networks and layers: sums over what they run, and what a device can't tell."""

from __future__ import annotations

from dataclasses import replace

import keras

from rankline.src.dse.devices.network import known_latency, whole_latency
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.keras_model.source import network_of
from rankline.src.dse.layer import conv, dense
from tests.helpers.devices import made_up_device

LAYERS = [conv("conv", (3, 3), 8, 12, (8, 8)), dense("dense", 48, 10)]


def test_a_network_takes_a_call_its_layers_and_what_its_weights_take_beside_each_other() -> None:
    model = replace(made_up_device().model, cold=((2**12, 3.5),))
    times = [known_latency(model, layer) for layer in LAYERS]
    assert None not in times
    assert whole_latency(model, LAYERS, (), 1_001) == (model.call + sum(time or 0 for time in times) + 3_504, [])


def test_layers_that_a_device_cannot_tell_are_named_and_not_in_the_sum() -> None:
    model = replace(made_up_device(leave_out="convolution").model, cold=())
    assert known_latency(model, LAYERS[0]) is None
    assert whole_latency(model, LAYERS, (), 1_000) == (model.call + (known_latency(model, LAYERS[1]) or 0), ["conv"])


def test_what_a_model_does_beside_its_layers_is_read_with_it() -> None:
    given = keras.Input((8, 8, 3))
    once = keras.layers.MaxPooling2D(2)(keras.layers.Conv2D(4, 3, padding="same")(given))
    model = keras.Model(given, keras.layers.Dense(2)(keras.layers.Flatten()(once)), name="pooled")
    assert [(one.kind, one.taps) for one in describe(model).rest] == [("max pooling", 4)]
    assert network_of(model, "named") == replace(describe(model), name="named")
    assert network_of(LAYERS, "net").rest == ()


def test_a_pooling_of_its_own_counts_what_it_reads_for_each_element_that_it_makes() -> None:
    class Pooling(keras.layers.Layer):  # type: ignore[misc]
        pool_size = 2

        def call(self, x: object) -> object:
            return keras.ops.max_pool(x, 2)

    given = keras.Input((8, 8, 3))
    model = keras.Model(given, keras.layers.Conv2D(4, 3)(Pooling()(given)))
    assert [(one.kind, one.taps) for one in describe(model).rest] == [("average pooling", 4)]
