"""Kernels as layers: what a method takes is decided by their shape alone."""

from __future__ import annotations

from rankline.src.dse import methods
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import Layer, conv, dense


def layer_of(kernel_shape: tuple[int, ...]) -> Layer:
    """A layer with that kernel; its sizes don't matter, because caps depend on the kernel alone."""
    if not 2 <= len(kernel_shape) <= 5 or 0 in kernel_shape:
        raise UserError(f"a kernel must be (N, M), or (C, F) after 1 to 3 sizes; got shape {kernel_shape}")
    *kernel, inputs, outputs = kernel_shape
    if not kernel:
        return dense("kernel", inputs, outputs)
    return conv("kernel", tuple(kernel), inputs, outputs, in_size=tuple(kernel))


def check_applies(method: str, kernel_shape: tuple[int, ...]) -> Layer:
    """The kernel as a layer. Raises UserError where the method doesn't apply to it."""
    layer = layer_of(kernel_shape)
    if reason := methods.get(method).refuses(layer):
        raise UserError(f"a kernel of shape {kernel_shape}: {reason}")
    return layer
