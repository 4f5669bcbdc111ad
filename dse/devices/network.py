"""The latency of a whole network on a device."""

from __future__ import annotations

from collections.abc import Sequence

from rankline.src.dse.devices.latency import LatencyModel, UnmeasuredError
from rankline.src.dse.devices.operations import Operation, kept_operation, original_operations
from rankline.src.dse.layer import Layer
from rankline.src.dse.symbols import layer_shape


def network_latency(device: LatencyModel, layers: Sequence[Layer]) -> tuple[int, list[str]]:
    """Picoseconds of a call that runs the layers as they are, and the names of those that the device can't tell, which
    are not in it."""
    latency, left_out = device.call, []
    for layer in layers:
        try:
            latency += device.polynomial(_operations(layer)).at(())
        except UnmeasuredError:
            left_out.append(layer.name)
    return latency, left_out


def _operations(layer: Layer) -> tuple[Operation, ...]:
    """Raises UnmeasuredError for a kept layer of no known kind."""
    if not layer.kept_because:
        return original_operations(layer_shape(layer))
    kept = kept_operation(layer)
    if kept is None:
        raise UnmeasuredError(f"no device has numbers for the layer '{layer.name}' of kind '{layer.kind}'")
    return (kept,)
