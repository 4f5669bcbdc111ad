from __future__ import annotations

from dataclasses import replace

import keras
import pytest

from compress.data import Data, load
from compress.training import FineTuning, fine_tune


@pytest.fixture(scope="session")
def digits() -> Data:
    """scikit-learn's handwritten digits."""
    return load("digits")


@pytest.fixture(scope="session")
def few(digits: Data) -> Data:
    """A third of the digits, for trials that need not be good, only quick."""
    return replace(
        digits,
        x_train=digits.x_train[:384], y_train=digits.y_train[:384],
        x_validation=digits.x_validation[:128], y_validation=digits.y_validation[:128],
        x_test=digits.x_test[:64], y_test=digits.y_test[:64],
    )  # fmt: skip


@pytest.fixture(scope="session")
def trained(digits: Data) -> keras.Model:
    """A tiny CNN with a residual part, trained on the digits in seconds."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(layers.Rescaling(1 / 16)(inputs))
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Conv2D(16, 3, padding="same", name="conv", use_bias=False)(x)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    y = layers.Conv2D(16, 3, padding="same", activation="relu", name="branch")(x)
    x = layers.Flatten()(layers.Add()([x, y]))
    x = layers.Dense(32, activation="relu", name="hidden")(x)
    model = keras.Model(inputs, layers.Dense(10, activation="softmax", name="classes")(x), name="tiny")
    settings = FineTuning(epochs=15, learning_rate=3e-3, patience=15)
    fine_tune(model, (digits.x_train, digits.y_train), (digits.x_validation, digits.y_validation), settings, seed=1)
    return model
