"""What a network does beside its layers with kernels."""

from __future__ import annotations

import keras

from rankline.src.dse.keras_model.graph import trace
from rankline.src.dse.keras_model.rest import rest_of

layers = keras.layers


def operations(given: keras.KerasTensor, made: keras.KerasTensor) -> list[tuple[str, int, int, int, int]]:
    found = rest_of(trace(keras.Model(given, made)))
    return [(one.kind, one.taps, one.in_places, one.out_places, one.outputs.count) for one in found]


def test_additions_and_poolings_count_and_what_is_fused_or_free_does_not() -> None:
    given = keras.Input((8, 8, 4))
    x = layers.Conv2D(6, 3, padding="same", use_bias=False)(given)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Activation("relu")(layers.Add()([x, layers.Conv2D(6, 1)(given)]))
    x = layers.Dropout(0.5)(layers.MaxPooling2D(2)(x))
    made = layers.Dense(3)(layers.Flatten()(layers.GlobalAveragePooling2D()(x)))
    assert operations(given, made) == [
        ("elementwise", 1, 128, 64, 6),
        ("max pooling", 4, 64, 16, 6),
        ("average pooling", 16, 16, 1, 6),
    ]


def test_an_activation_or_normalization_that_follows_no_kernel_counts() -> None:
    given = keras.Input((4, 4, 8))
    made = layers.Conv2D(2, 1)(layers.Activation("relu")(layers.BatchNormalization()(given)))
    assert operations(given, made) == [("elementwise", 1, 16, 16, 8)] * 2


def test_an_activation_that_runtimes_do_not_fuse_counts() -> None:
    given = keras.Input((4, 4, 8))
    made = layers.Activation("sigmoid")(layers.Conv2D(3, 1)(given))
    assert operations(given, made) == [("elementwise", 1, 16, 16, 3)]
