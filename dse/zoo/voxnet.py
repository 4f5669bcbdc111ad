"""VoxNet, after Maturana and Scherer, VoxNet: a 3D convolutional neural network for real-time object
recognition (2015).

The paper's C(32, 5, 2) - C(32, 3, 1) - P(2) - FC(128) - FC(K), with the leaky ReLU and the dropout of the authors'
code (dimatura/voxnet).
"""

from __future__ import annotations

import keras
from keras import layers


def voxnet(input_shape: tuple[int, ...] = (32, 32, 32, 1), classes: int = 10) -> keras.Model:
    """917,866 parameters at the defaults, which match ModelNet10; 921,736 with the 40 classes of ModelNet40."""
    inputs = keras.Input(input_shape)
    x = layers.Conv3D(32, 5, 2, name="conv1")(inputs)
    x = layers.LeakyReLU(0.1, name="relu1")(x)
    x = layers.Dropout(0.2, name="drop1")(x)
    x = layers.Conv3D(32, 3, name="conv2")(x)
    x = layers.LeakyReLU(0.1, name="relu2")(x)
    x = layers.MaxPooling3D(2, name="pool2")(x)
    x = layers.Dropout(0.3, name="drop2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(128, activation="relu", name="fc1")(x)
    x = layers.Dropout(0.4, name="drop3")(x)
    outputs = layers.Dense(classes, activation="softmax", name="fc2")(x)
    return keras.Model(inputs, outputs, name="voxnet")
