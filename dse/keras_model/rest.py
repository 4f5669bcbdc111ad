"""What a network does beside its layers with kernels: the operations of additions, poolings and the like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from rankline.src.dse.devices.operations import Operation, plain_operation
from rankline.src.dse.keras_model.graph import Call, Shape

FREE = (
    "InputLayer", "Flatten", "Reshape", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
    "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization", "Identity",
)  # fmt: skip
"""Layers that runtimes leave out or that only rename axes."""

FUSED = ("linear", "relu", "relu6")
"""Activations that runtimes compute within the operation before them."""


def rest_of(calls: Sequence[Call]) -> Iterator[Operation]:
    """The operations of all calls without a kernel, for one sample; sizes that aren't known count as 1."""
    for call in calls:
        if call.inputs and not _has_kernel(call.layer) and not _is_free(calls, call):
            yield _operation(call)


def _operation(call: Call) -> Operation:
    channels = call.out_shapes[0][-1] or 1 if call.out_shapes[0] else 1
    before = -(-sum(map(_elements, call.in_shapes, call.in_entries)) // channels)
    after = max(1, call.out_elements // channels)
    name = type(call.layer).__name__
    if "Pooling" not in name:
        return plain_operation("elementwise", 1, before, after, channels)
    size = getattr(call.layer, "pool_size", None)
    taps = prod(size) if isinstance(size, tuple) else -(-before // after)
    return plain_operation("max pooling" if "Max" in name else "average pooling", taps, before, after, channels)


def _elements(shape: Shape, entries: int | None) -> int:
    return prod(size or 1 for size in (entries, *shape))


def _has_kernel(layer: Any) -> bool:
    return any(len(weight.shape) >= 2 for weight in getattr(layer, "weights", ()))


def _is_free(calls: Sequence[Call], call: Call) -> bool:
    """Whether a runtime leaves a call out, or computes it within the operation before it."""
    name = type(call.layer).__name__
    if name in FREE:
        return True
    before = calls[call.inputs[0]]
    if name == "BatchNormalization":
        return _has_kernel(before.layer)
    if name == "ReLU" or (name == "Activation" and _activation(call.layer) in FUSED):
        while type(before.layer).__name__ == "BatchNormalization" and _is_free(calls, before):
            before = calls[before.inputs[0]]
        return _has_kernel(before.layer) or type(before.layer).__name__ == "Add"
    return False


def _activation(layer: Any) -> str:
    return str(getattr(layer.activation, "__name__", ""))
