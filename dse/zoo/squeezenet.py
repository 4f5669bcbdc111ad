"""SqueezeNet 1.1, after Iandola et al., SqueezeNet: AlexNet-level accuracy with 50x fewer parameters (2016).

Version 1.1 of the authors' repository, as in torchvision: the accuracy of the paper's 1.0 with 2.4 times fewer FLOPs.
"""

from __future__ import annotations

import keras
from keras import layers

from rankline.src.dse.zoo.small import is_small

SQUEEZE = (16, 16, 32, 32, 48, 48, 64, 64)
"""Filters of the squeeze convolutions of fire modules 2 to 9; each expand convolution has four times as many."""


def squeezenet(input_shape: tuple[int, ...] = (32, 32, 3), classes: int = 10) -> keras.Model:
    """727,626 parameters at the defaults, 1,235,496 at 224x224x3 with 1,000 classes.

    For small images the first convolution keeps the size.
    """
    inputs = keras.Input(input_shape)
    if is_small(input_shape):
        x = layers.Conv2D(64, 3, padding="same", activation="relu", name="conv1")(inputs)
    else:
        x = layers.Conv2D(64, 3, 2, activation="relu", name="conv1")(inputs)
    for index, squeeze in enumerate(SQUEEZE, start=2):
        if index in (2, 4, 6):
            x = layers.MaxPooling2D(3, 2, name=f"pool{index - 1}")(x)
        x = _fire(x, squeeze, f"fire{index}")
    x = layers.Dropout(0.5, name="drop")(x)
    x = layers.Conv2D(classes, 1, activation="relu", name="conv10")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    outputs = layers.Softmax(name="softmax")(x)
    return keras.Model(inputs, outputs, name="squeezenet")


def _fire(x: keras.KerasTensor, squeeze: int, name: str) -> keras.KerasTensor:
    x = layers.Conv2D(squeeze, 1, activation="relu", name=f"{name}_squeeze")(x)
    one = layers.Conv2D(4 * squeeze, 1, activation="relu", name=f"{name}_expand1x1")(x)
    three = layers.Conv2D(4 * squeeze, 3, padding="same", activation="relu", name=f"{name}_expand3x3")(x)
    return layers.Concatenate(name=f"{name}_concat")([one, three])
