"""MobileNetV2, after Sandler et al., MobileNetV2: inverted residuals and linear bottlenecks (2018), as in torchvision.

For small images the first two strides are 1, as in kuangliu/pytorch-cifar, but without its extra shortcut convolutions
(2,296,922 parameters in all).
"""

from __future__ import annotations

import keras
from keras import layers

from rankline.src.dse.zoo.conv_bn import batch_norm, conv_bn
from rankline.src.dse.zoo.small import is_small

STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, filters, blocks and first stride of each stage (the paper's table 2)."""


def mobilenetv2(input_shape: tuple[int, ...] = (32, 32, 3), classes: int = 10) -> keras.Model:
    """2,236,682 trainable parameters at the defaults, 3,504,872 at 224x224x3 with 1,000 classes."""
    inputs = keras.Input(input_shape)
    small = is_small(input_shape)
    x = _relu6(conv_bn(inputs, 32, 3, 1 if small else 2, name="conv1"), "conv1")
    for stage, (expansion, filters, blocks, first_stride) in enumerate(STAGES, start=1):
        for index in range(1, blocks + 1):
            stride = first_stride if index == 1 and not (small and stage == 2) else 1
            x = _inverted_residual(x, expansion, filters, stride, f"stage{stage}_block{index}")
    x = _relu6(conv_bn(x, 1280, 1, name="conv2"), "conv2")
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(0.2, name="drop")(x)
    outputs = layers.Dense(classes, activation="softmax", name="fc")(x)
    return keras.Model(inputs, outputs, name="mobilenetv2")


def _inverted_residual(x: keras.KerasTensor, expansion: int, filters: int, stride: int, name: str) -> keras.KerasTensor:
    inner = x
    if expansion > 1:
        inner = _relu6(conv_bn(x, expansion * x.shape[-1], 1, name=f"{name}_expand"), f"{name}_expand")
    inner = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False, name=f"{name}_depthwise")(inner)
    inner = _relu6(batch_norm(inner, f"{name}_depthwise_bn"), f"{name}_depthwise")
    inner = conv_bn(inner, filters, 1, name=f"{name}_project")
    return layers.Add(name=f"{name}_add")([x, inner]) if x.shape == inner.shape else inner


def _relu6(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.ReLU(6.0, name=f"{name}_relu")(x)
