"""Convolutions whose channels come first, which not every backend has on every device."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
import pytest


def skip_if_refused(layer: keras.Layer) -> None:
    """Skips a test of a layer that has its channels first where the backend cannot compute it.

    TensorFlow has such a convolution on a CPU only through oneDNN, which is off on some processors.
    """
    if getattr(layer, "data_format", None) == "channels_first" and (reason := _refusal()):
        pytest.skip(f"{keras.backend.backend()} has no convolution of channels_first on this device: {reason}")


@cache
def _refusal() -> str:
    try:
        keras.ops.conv(np.ones((1, 1, 1, 1), "float32"), np.ones((1, 1, 1, 1), "float32"), data_format="channels_first")
    except Exception as error:
        return str(error)
    return ""
