"""Gradients against known ones, on the backend at hand."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from rankline.src.compress.model.gradients import gradients


def tensor(values: Any) -> Any:
    return keras.ops.convert_to_tensor(np.asarray(values, np.float32))


def test_each_tensor_gets_its_own_gradient() -> None:
    a, b = np.array([[1.0, -2.0], [3.0, 0.5]]), np.array([[2.0], [5.0]])
    found = gradients(lambda some: keras.ops.sum(keras.ops.sin(some[0]) * some[1]), [tensor(a), tensor(b)])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found[0]), np.cos(a) * b, rtol=1e-5)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found[1]), np.sin(a).sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-6
    )


def test_what_the_function_does_not_use_has_a_gradient_of_zero() -> None:
    found = gradients(lambda some: keras.ops.sum(some[0] ** 2), [tensor([3.0]), tensor([[1.0, 2.0]])])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found[0]), [6.0])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(found[1]), [[0.0, 0.0]])


def test_they_pass_through_layers_whose_weights_stay() -> None:
    layer = keras.layers.Dense(3, activation="relu")
    layer.build((None, 4))
    before = layer.get_weights()
    x = np.random.default_rng(0).standard_normal((5, 4))
    (found,) = gradients(lambda some: keras.ops.sum(layer(some[0])), [tensor(x)])
    kernel, bias = before
    wanted = ((x @ kernel + bias) > 0) @ kernel.T
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), wanted, atol=1e-5)
    for now, was in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, was)
