"""The pre-norm transformer block, after Radford et al., Language models are unsupervised multitask learners (2019).

Every matrix, including queries, keys and values, is its own Dense layer on the token axis, so that each can be
factorized. Steps without weights are operations in the model's graph: a ``.keras`` file of it loads without Rankline
(an ``.h5`` file with such operations does not load at all).
"""

from __future__ import annotations

import keras
from keras import layers, ops


def block(x: keras.KerasTensor, heads: int, name: str, *, causal: bool = False) -> keras.KerasTensor:
    """Attention and an MLP of four times the width, each with a shortcut; x: (batch, tokens, width).

    causal: whether a token attends only to itself and earlier tokens.
    """
    width = x.shape[-1]
    inner = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm1")(x)
    x = layers.Add(name=f"{name}_add1")([x, _attention(inner, heads, name, causal)])
    inner = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm2")(x)
    inner = layers.Dense(4 * width, activation="gelu", name=f"{name}_fc1")(inner)
    inner = layers.Dense(width, name=f"{name}_fc2")(inner)
    return layers.Add(name=f"{name}_add2")([x, inner])


def _attention(x: keras.KerasTensor, heads: int, name: str, causal: bool) -> keras.KerasTensor:
    """softmax(Q K' / sqrt(width / heads)) V for each head, and the projection of the concatenated heads."""
    tokens, width = x.shape[1:]
    query, key, value = (
        layers.Reshape((tokens, heads, width // heads), name=f"{name}_{role}_heads")(
            layers.Dense(width, name=f"{name}_{role}")(x)
        )
        for role in ("query", "key", "value")
    )
    x = ops.dot_product_attention(query, key, value, is_causal=causal)
    x = layers.Reshape((tokens, width), name=f"{name}_joined")(x)
    return layers.Dense(width, name=f"{name}_projection")(x)
