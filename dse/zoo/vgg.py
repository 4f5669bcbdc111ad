"""VGG, after Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition (2015).

Without batch normalization, as in the paper and torchvision; small images use the variant of
chengyangfu/pytorch-vgg-cifar10, whose two hidden dense layers have 512 units instead of 4,096.
"""

from __future__ import annotations

import keras
from keras import layers

from rankline.src.dse.zoo.small import is_small

FILTERS = (64, 128, 256, 512, 512)
"""Filters of the convolutions in each of the five blocks; each block ends in a pool."""


def vgg11(input_shape: tuple[int, ...] = (32, 32, 3), classes: int = 10) -> keras.Model:
    """Configuration A: 9,750,922 parameters at the defaults, 132,863,336 at 224x224x3 with 1,000 classes."""
    return _vgg("vgg11", (1, 1, 2, 2, 2), input_shape, classes)


def vgg16(input_shape: tuple[int, ...] = (32, 32, 3), classes: int = 10) -> keras.Model:
    """Configuration D: 15,245,130 parameters at the defaults, 138,357,544 at 224x224x3 with 1,000 classes."""
    return _vgg("vgg16", (2, 2, 3, 3, 3), input_shape, classes)


def vgg19(input_shape: tuple[int, ...] = (32, 32, 3), classes: int = 10) -> keras.Model:
    """Configuration E: 20,554,826 parameters at the defaults, 143,667,240 at 224x224x3 with 1,000 classes."""
    return _vgg("vgg19", (2, 2, 4, 4, 4), input_shape, classes)


def _vgg(name: str, depths: tuple[int, ...], input_shape: tuple[int, ...], classes: int) -> keras.Model:
    """``depths``: convolutions in each block."""
    inputs = x = keras.Input(input_shape)
    for block, (depth, filters) in enumerate(zip(depths, FILTERS, strict=True), start=1):
        for index in range(1, depth + 1):
            x = layers.Conv2D(
                filters, 3, padding="same", activation="relu", kernel_initializer="he_normal",
                name=f"conv{block}_{index}",
            )(x)  # fmt: skip
        x = layers.MaxPooling2D(2, name=f"pool{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    for index in (1, 2):
        x = layers.Dense(512 if is_small(input_shape) else 4096, activation="relu", name=f"fc{index}")(x)
        x = layers.Dropout(0.5, name=f"drop{index}")(x)
    outputs = layers.Dense(classes, activation="softmax", name="fc3")(x)
    return keras.Model(inputs, outputs, name=name)
