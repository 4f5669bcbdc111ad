"""GoogLeNet, after Szegedy et al., Going deeper with convolutions (2015), as in torchvision.

Unlike the paper, torchvision normalizes after every convolution and uses 3x3 kernels in the 5x5 branch (its issue 906,
kept for the ported weights). The auxiliary classifiers, used only in training, are left out.
"""

from __future__ import annotations

import keras
from keras import layers

from rankline.src.dse.zoo.conv_bn import conv_bn_relu
from rankline.src.dse.zoo.small import is_small

INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Filters: 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; pool projection (the paper's table 1)."""

POOLS = {"3b": 3, "4e": 2}
"""Window size of the pool that follows a module."""


def googlenet(input_shape: tuple[int, ...] = (32, 32, 3), classes: int = 10) -> keras.Model:
    """5,490,986 trainable parameters at the defaults, 6,624,904 at 224x224x3 with 1,000 classes.

    Small images use the stem of kuangliu/pytorch-cifar, one 3x3 convolution, but not its modules (two 3x3 convolutions
    in the 5x5 branch, and biases; 6,166,250 parameters in all).
    """
    inputs = keras.Input(input_shape)
    if is_small(input_shape):
        x = conv_bn_relu(inputs, 192, 3, name="conv1")
    else:
        x = conv_bn_relu(inputs, 64, 7, 2, name="conv1")
        x = layers.MaxPooling2D(3, 2, padding="same", name="pool1")(x)
        x = conv_bn_relu(x, 64, 1, name="conv2")
        x = conv_bn_relu(x, 192, 3, name="conv3")
        x = layers.MaxPooling2D(3, 2, padding="same", name="pool2")(x)
    for module, filters in INCEPTIONS.items():
        x = _inception(x, filters, f"inception{module}")
        if module in POOLS:
            x = layers.MaxPooling2D(POOLS[module], 2, padding="same", name=f"pool{module[0]}")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(0.2, name="drop")(x)
    outputs = layers.Dense(classes, activation="softmax", name="fc")(x)
    return keras.Model(inputs, outputs, name="googlenet")


def _inception(x: keras.KerasTensor, filters: tuple[int, ...], name: str) -> keras.KerasTensor:
    one, three_reduce, three, five_reduce, five, pool = filters
    branch1 = conv_bn_relu(x, one, 1, name=f"{name}_1x1")
    branch2 = conv_bn_relu(x, three_reduce, 1, name=f"{name}_3x3_reduce")
    branch2 = conv_bn_relu(branch2, three, 3, name=f"{name}_3x3")
    branch3 = conv_bn_relu(x, five_reduce, 1, name=f"{name}_5x5_reduce")
    branch3 = conv_bn_relu(branch3, five, 3, name=f"{name}_5x5")
    branch4 = layers.MaxPooling2D(3, 1, padding="same", name=f"{name}_pool")(x)
    branch4 = conv_bn_relu(branch4, pool, 1, name=f"{name}_pool_proj")
    return layers.Concatenate(name=f"{name}_concat")([branch1, branch2, branch3, branch4])
