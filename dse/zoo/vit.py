"""Vision transformer, after Dosovitskiy et al., An image is worth 16x16 words (2021).

The defaults are ViT-Tiny, the smallest size of Touvron et al., Training data-efficient image transformers (2021).
"""

from __future__ import annotations

import keras
from keras import layers, ops

from rankline.src.dse.zoo.small import is_small
from rankline.src.dse.zoo.transformer import block


def vit(
    input_shape: tuple[int, ...] = (32, 32, 3), classes: int = 10, width: int = 192, depth: int = 12, heads: int = 3
) -> keras.Model:
    """5,362,762 parameters at the defaults, 5,717,416 at 224x224x3 with 1,000 classes (timm's vit_tiny_patch16_224).

    Patches are 16x16, or 4x4 for small images.
    """
    inputs = keras.Input(input_shape)
    patch = 4 if is_small(input_shape) else 16
    x = layers.Conv2D(width, patch, patch, name="patch_embedding")(inputs)
    x = layers.Reshape((-1, width), name="patches")(x)
    patches = x.shape[1]
    x = layers.Concatenate(axis=1, name="tokens")([_class_token(x), x])
    # An embedding looks up indices, so the token numbers 0, 1, 2, .. must be a tensor of the graph.
    positions = ops.cumsum(ops.ones_like(ops.max(x, axis=-1), dtype="int32"), axis=-1) - 1
    x = layers.Add(name="embedded")([x, layers.Embedding(patches + 1, width, name="position_embedding")(positions)])
    for index in range(1, depth + 1):
        x = block(x, heads, f"block{index}")
    x = layers.Cropping1D((0, patches), name="class_token_only")(x)
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    x = layers.Flatten(name="flatten")(x)
    outputs = layers.Dense(classes, activation="softmax", name="head")(x)
    return keras.Model(inputs, outputs, name="vit")


def _class_token(x: keras.KerasTensor) -> keras.KerasTensor:
    """One learned token, the same for every image: (batch, 1, width), for patches x of (batch, patches, width)."""
    width = x.shape[-1]
    zero = ops.zeros_like(ops.max(x, axis=(1, 2)), dtype="int32")
    token = layers.Embedding(1, width, name="class_token")(zero)
    return layers.Reshape((1, width), name="class_token_row")(token)
