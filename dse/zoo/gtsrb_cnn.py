"""A traffic-sign classifier, after Wang et al., Neural Cleanse: identifying and mitigating backdoor attacks (2019).

Six convolutions and two dense layers, as in the authors' code (bolunwang/backdoor). Security papers reuse it, and
tutorials on the German Traffic Sign Recognition Benchmark build it at 48x48.
"""

from __future__ import annotations

import keras
from keras import layers


def gtsrb_cnn(input_shape: tuple[int, ...] = (32, 32, 3), classes: int = 43) -> keras.Model:
    """571,723 parameters at the defaults, 1,358,155 at 48x48x3."""
    inputs = x = keras.Input(input_shape)
    for block, filters in enumerate((32, 64, 128), start=1):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv{block}_1")(x)
        x = layers.Conv2D(filters, 3, activation="relu", name=f"conv{block}_2")(x)
        x = layers.MaxPooling2D(2, name=f"pool{block}")(x)
        x = layers.Dropout(0.2, name=f"drop{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(512, activation="relu", name="fc1")(x)
    x = layers.Dropout(0.5, name="drop_fc1")(x)
    outputs = layers.Dense(classes, activation="softmax", name="fc2")(x)
    return keras.Model(inputs, outputs, name="gtsrb_cnn")
