"""Gradients with respect to feature maps inside a model: one backward pass, on any Keras backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

Tensors = list[Any]


def gradients(function: Callable[[Tensors], Any], at: Sequence[Any]) -> Tensors:
    """The gradient of a scalar function of some tensors with respect to each of them."""
    return _OF_BACKEND[keras.backend.backend()](function, list(at))


def _tensorflow(function: Callable[[Tensors], Any], at: Tensors) -> Tensors:
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(at)
        value = function(at)
    return list(tape.gradient(value, at, unconnected_gradients=tf.UnconnectedGradients.ZERO))


def _jax(function: Callable[[Tensors], Any], at: Tensors) -> Tensors:
    import jax

    return list(jax.grad(function)(at))


def _torch(function: Callable[[Tensors], Any], at: Tensors) -> Tensors:
    import torch

    leaves = [tensor.detach().requires_grad_() for tensor in at]
    with torch.enable_grad():
        found = torch.autograd.grad(function(leaves), leaves, allow_unused=True)
    return [torch.zeros_like(leaf) if one is None else one for leaf, one in zip(leaves, found, strict=True)]


_OF_BACKEND = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
