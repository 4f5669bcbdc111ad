"""One decoder block of GPT-2, after Radford et al., Language models are unsupervised multitask learners (2019)."""

from __future__ import annotations

import keras

from rankline.src.dse.zoo.transformer import block


def gpt2_block(input_shape: tuple[int, ...] = (1024, 768), heads: int = 12) -> keras.Model:
    """7,087,872 parameters at the defaults, the size of GPT-2 small: 1,024 tokens of width 768.

    input_shape: (tokens, width). GELU is exact here, where GPT-2 uses its tanh approximation.
    """
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, block(inputs, heads, "block", causal=True), name="gpt2_block")
