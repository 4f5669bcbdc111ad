"""LeNet-5, after LeCun et al., Gradient-based learning applied to document recognition (1998)."""

from __future__ import annotations

import keras
from keras import layers


def lenet5(input_shape: tuple[int, ...] = (28, 28, 1), classes: int = 10) -> keras.Model:
    """The common modern variant: ReLU, max pooling, softmax; 61,706 parameters at the defaults.

    The first convolution is padded in place of the paper's 32x32 images, so that 28x28 gives the paper's 400 features.
    """
    inputs = keras.Input(input_shape)
    x = layers.Conv2D(6, 5, padding="same", activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = layers.Conv2D(16, 5, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(2, name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(120, activation="relu", name="fc1")(x)
    x = layers.Dense(84, activation="relu", name="fc2")(x)
    outputs = layers.Dense(classes, activation="softmax", name="fc3")(x)
    return keras.Model(inputs, outputs, name="lenet5")
