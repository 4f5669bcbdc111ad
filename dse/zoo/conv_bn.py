"""Convolution, batch normalization and ReLU, as combined in networks since 2015.

Convolutions have no bias, since the normalization after them would cancel it. Padding is "same": at stride 2, PyTorch's
symmetric padding gives the same sizes, shifted by one pixel.
"""

from __future__ import annotations

import keras
from keras import layers


def batch_norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Batch normalization with the momentum and epsilon of the reference implementations, which are PyTorch's."""
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def conv(x: keras.KerasTensor, filters: int, kernel: int, strides: int = 1, *, name: str) -> keras.KerasTensor:
    """A 2-D convolution without bias."""
    return layers.Conv2D(
        filters, kernel, strides, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)


def conv_bn(x: keras.KerasTensor, filters: int, kernel: int, strides: int = 1, *, name: str) -> keras.KerasTensor:
    """A 2-D convolution followed by batch normalization."""
    return batch_norm(conv(x, filters, kernel, strides, name=name), f"{name}_bn")


def conv_bn_relu(x: keras.KerasTensor, filters: int, kernel: int, strides: int = 1, *, name: str) -> keras.KerasTensor:
    """A 2-D convolution followed by batch normalization and ReLU."""
    return layers.ReLU(name=f"{name}_relu")(conv_bn(x, filters, kernel, strides, name=name))
