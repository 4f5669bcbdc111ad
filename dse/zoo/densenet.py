"""DenseNet, after Huang et al., Densely connected convolutional networks (2017).

As in torchvision; small images use the variant of kuangliu/pytorch-cifar: a 3x3 stem without normalization, and no
pool.
"""

from __future__ import annotations

import keras
from keras import layers

from rankline.src.dse.zoo.conv_bn import batch_norm, conv, conv_bn_relu
from rankline.src.dse.zoo.small import is_small

GROWTH = 32
"""Channels added by each layer of a dense block."""


def densenet121(input_shape: tuple[int, ...] = (32, 32, 3), classes: int = 10) -> keras.Model:
    """6,956,298 trainable parameters at the defaults, 7,978,856 at 224x224x3 with 1,000 classes."""
    inputs = keras.Input(input_shape)
    if is_small(input_shape):
        x = conv(inputs, 2 * GROWTH, 3, name="conv1")
    else:
        x = conv_bn_relu(inputs, 2 * GROWTH, 7, 2, name="conv1")
        x = layers.MaxPooling2D(3, 2, padding="same", name="pool1")(x)
    for block, depth in enumerate((6, 12, 24, 16), start=1):
        if block > 1:
            x = _bn_relu_conv(x, x.shape[-1] // 2, 1, f"transition{block - 1}_conv")
            x = layers.AveragePooling2D(2, name=f"transition{block - 1}_pool")(x)
        for index in range(1, depth + 1):
            new = _bn_relu_conv(x, 4 * GROWTH, 1, f"block{block}_layer{index}_conv1")
            new = _bn_relu_conv(new, GROWTH, 3, f"block{block}_layer{index}_conv2")
            x = layers.Concatenate(name=f"block{block}_layer{index}_concat")([x, new])
    x = layers.ReLU(name="relu")(batch_norm(x, "bn"))
    x = layers.GlobalAveragePooling2D(name="average")(x)
    outputs = layers.Dense(classes, activation="softmax", name="fc")(x)
    return keras.Model(inputs, outputs, name="densenet121")


def _bn_relu_conv(x: keras.KerasTensor, filters: int, kernel: int, name: str) -> keras.KerasTensor:
    x = layers.ReLU(name=f"{name}_relu")(batch_norm(x, f"{name}_bn"))
    return conv(x, filters, kernel, name=name)
