"""AlexNet, after Krizhevsky, One weird trick for parallelizing convolutional neural networks (2014).

The paper's one-column network, as in torchvision; small images use the variant of bearpaw/pytorch-classification.
"""

from __future__ import annotations

import keras
from keras import layers

from rankline.src.dse.zoo.small import is_small


def alexnet(input_shape: tuple[int, ...] = (32, 32, 3), classes: int = 10) -> keras.Model:
    """2,472,266 parameters at the defaults, 61,100,840 at 224x224x3 with 1,000 classes.

    For small images, the same five convolutions with pools of size 2 and one dense layer. For large images,
    torchvision's classifier directly on the last feature map: at 224x224 that is 6x6, the size to which torchvision
    pools any input.
    """
    inputs = keras.Input(input_shape)
    small = is_small(input_shape)
    window = 2 if small else 3
    if small:
        x = layers.Conv2D(64, 11, 4, padding="same", activation="relu", name="conv1")(inputs)
    else:
        x = layers.ZeroPadding2D(2, name="pad1")(inputs)
        x = layers.Conv2D(64, 11, 4, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(window, 2, name="pool1")(x)
    x = layers.Conv2D(192, 5, padding="same", activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(window, 2, name="pool2")(x)
    for index, filters in enumerate((384, 256, 256), start=3):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv{index}")(x)
    x = layers.MaxPooling2D(window, 2, name="pool5")(x)
    x = layers.Flatten(name="flatten")(x)
    if not small:
        for index in (6, 7):
            x = layers.Dropout(0.5, name=f"drop{index}")(x)
            x = layers.Dense(4096, activation="relu", name=f"fc{index}")(x)
    outputs = layers.Dense(classes, activation="softmax", name="fc8")(x)
    return keras.Model(inputs, outputs, name="alexnet")
