"""ResNet, after He et al., Deep residual learning for image recognition (2016).

As in torchvision: a bottleneck's stride is in its 3x3 convolution (version 1.5), and a shortcut that changes shape is a
1x1 convolution. Small images use the variant of kuangliu/pytorch-cifar: a 3x3 stem and no pool.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import layers

from rankline.src.dse.zoo.conv_bn import conv_bn, conv_bn_relu
from rankline.src.dse.zoo.small import is_small

Block = Callable[[keras.KerasTensor, int, int, str], keras.KerasTensor]
"""The residual branch of a block, from its input, filters, stride and name."""


def resnet18(input_shape: tuple[int, ...] = (32, 32, 3), classes: int = 10) -> keras.Model:
    """11,173,962 trainable parameters at the defaults, 11,689,512 at 224x224x3 with 1,000 classes."""
    return _resnet("resnet18", _basic, (2, 2, 2, 2), input_shape, classes)


def resnet34(input_shape: tuple[int, ...] = (32, 32, 3), classes: int = 10) -> keras.Model:
    """21,282,122 trainable parameters at the defaults, 21,797,672 at 224x224x3 with 1,000 classes."""
    return _resnet("resnet34", _basic, (3, 4, 6, 3), input_shape, classes)


def resnet50(input_shape: tuple[int, ...] = (32, 32, 3), classes: int = 10) -> keras.Model:
    """23,520,842 trainable parameters at the defaults, 25,557,032 at 224x224x3 with 1,000 classes."""
    return _resnet("resnet50", _bottleneck, (3, 4, 6, 3), input_shape, classes)


def _resnet(
    name: str, block: Block, depths: tuple[int, ...], input_shape: tuple[int, ...], classes: int
) -> keras.Model:
    """``depths``: blocks in each of the four stages, which torchvision calls layers."""
    inputs = keras.Input(input_shape)
    if is_small(input_shape):
        x = conv_bn_relu(inputs, 64, 3, name="conv1")
    else:
        x = conv_bn_relu(inputs, 64, 7, 2, name="conv1")
        x = layers.MaxPooling2D(3, 2, padding="same", name="pool1")(x)
    for stage, depth in enumerate(depths, start=1):
        for index in range(1, depth + 1):
            stride = 2 if stage > 1 and index == 1 else 1
            x = _residual(x, block, 32 * 2**stage, stride, f"layer{stage}_block{index}")
    x = layers.GlobalAveragePooling2D(name="average")(x)
    outputs = layers.Dense(classes, activation="softmax", name="fc")(x)
    return keras.Model(inputs, outputs, name=name)


def _residual(x: keras.KerasTensor, block: Block, filters: int, stride: int, name: str) -> keras.KerasTensor:
    residual = block(x, filters, stride, name)
    if x.shape != residual.shape:
        x = conv_bn(x, residual.shape[-1], 1, stride, name=f"{name}_downsample")
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([residual, x]))


def _basic(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    x = conv_bn_relu(x, filters, 3, stride, name=f"{name}_conv1")
    return conv_bn(x, filters, 3, name=f"{name}_conv2")


def _bottleneck(x: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    x = conv_bn_relu(x, filters, 1, name=f"{name}_conv1")
    x = conv_bn_relu(x, filters, 3, stride, name=f"{name}_conv2")
    return conv_bn(x, 4 * filters, 1, name=f"{name}_conv3")
