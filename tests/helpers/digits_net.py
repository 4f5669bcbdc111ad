"""A tiny CNN of stock layers, which learns real digits in seconds."""

from __future__ import annotations

import keras

from rankline.src.compress.data.sets import Data
from rankline.src.compress.training.fine_tuning import fine_tune
from rankline.src.compress.training.settings import FineTuning


def trained_on(data: Data) -> keras.Model:
    """The network, trained."""
    keras.utils.set_random_seed(1)
    model = digits_net()
    settings = FineTuning(epochs=15, learning_rate=3e-3, patience=15)
    fine_tune(model, (data.x_train, data.y_train), (data.x_validation, data.y_validation), settings, seed=1)
    return model


def digits_net() -> keras.Model:
    """The network as it is built, with a residual sum and a BatchNorm that is folded."""
    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(layers.Rescaling(1 / 16)(inputs))
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Conv2D(16, 3, padding="same", name="conv", use_bias=False)(x)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    y = layers.Conv2D(16, 3, padding="same", activation="relu", name="branch")(x)
    x = layers.Flatten()(layers.Add()([x, y]))
    x = layers.Dense(32, activation="relu", name="hidden")(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax", name="classes")(x), name="tiny")
