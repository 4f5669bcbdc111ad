"""M5, after Dai et al., Very deep convolutional neural networks for raw waveforms (2017)."""

from __future__ import annotations

import keras
from keras import layers

from rankline.src.dse.zoo.conv_bn import batch_norm


def m5(input_shape: tuple[int, ...] = (16_000, 1), classes: int = 35) -> keras.Model:
    """571,939 trainable parameters at the defaults, which match Speech Commands at 16 kHz.

    The paper's network, not the 32-channel one of PyTorch's tutorial. With the paper's 10 classes it has 559,114
    parameters (0.5M in the paper), with the 1,024 biases of philipperemy/very-deep-convnets-raw-waveforms; the paper
    does not mention biases.
    """
    inputs = x = keras.Input(input_shape)
    for index, (filters, kernel, stride) in enumerate(((128, 80, 4), (128, 3, 1), (256, 3, 1), (512, 3, 1)), start=1):
        x = layers.Conv1D(filters, kernel, stride, padding="same", name=f"conv{index}")(x)
        x = batch_norm(x, f"bn{index}")
        x = layers.ReLU(name=f"relu{index}")(x)
        x = layers.MaxPooling1D(4, name=f"pool{index}")(x)
    x = layers.GlobalAveragePooling1D(name="average")(x)
    outputs = layers.Dense(classes, activation="softmax", name="fc")(x)
    return keras.Model(inputs, outputs, name="m5")
