"""The latency of a whole network on a device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.devices.latency import LatencyModel, UnmeasuredError
from rankline.src.dse.devices.operations import Operation, chain_operations, kept_operation, original_operations
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import Layer
from rankline.src.dse.network_cost import counted_cost
from rankline.src.dse.plan import Plan
from rankline.src.dse.symbols import layer_shape


def network_latency(
    device: LatencyModel, layers: Sequence[Layer], rest: Iterable[Operation] = (), plan: Plan | None = None
) -> tuple[int, list[str]]:
    """Picoseconds of a call that runs the layers, and the names of those that the device can't tell, which are not in
    it.

    rest: what the network does beside them (see ``keras_model.rest``); kinds that the device lacks are not in it.
    plan: configurations of layers that are factorized. What weights take more beside those of other layers is not in it
    either (see ``LatencyModel.cold_rate``).
    """
    chosen = plan or {}
    latency, left_out = device.call, []
    for operation in rest:
        with suppress(UnmeasuredError):
            latency += device.polynomial([operation]).at(())
    for layer in layers:
        try:
            latency += layer_latency(device, layer, chosen.get(layer.name))
        except UnmeasuredError:
            left_out.append(layer.name)
    return latency, left_out


def whole_latency(
    device: LatencyModel, layers: Sequence[Layer], rest: Iterable[Operation], params: int, plan: Plan | None = None
) -> tuple[int, list[str]]:
    """As ``network_latency``, with what the network's ``params`` weights take more beside each other."""
    latency, left_out = network_latency(device, layers, rest, plan)
    return latency + device.beside(params), left_out


def beside_others(device: LatencyModel | None, cost: Cost, params: int) -> Cost:
    """The cost of a network, or of a part of one, with what its weights take more in a network of ``params`` weights;
    as it is without a device or a latency."""
    if device is None or cost.latency is None:
        return cost
    return replace(cost, latency=cost.latency + round(device.cold_rate(params) * cost.params))


def known_latency(device: LatencyModel, layer: Layer, configuration: Configuration | None = None) -> int | None:
    """As ``layer_latency``; None where the device has no numbers for an operation, or there is no such method."""
    try:
        return layer_latency(device, layer, configuration)
    except UserError:
        return None


def timed_cost(device: LatencyModel | None, layer: Layer) -> Cost:
    """The cost of an original layer, with its latency on a device: 0 where that can't tell it; None without one."""
    cost = counted_cost(layer)
    if device is None:
        return cost
    return replace(cost, latency=known_latency(device, layer) or 0)


def layer_latency(device: LatencyModel, layer: Layer, configuration: Configuration | None = None) -> int:
    """Picoseconds of a layer as it is, or of its chain, without the call. Raises UnmeasuredError."""
    if configuration is None:
        return device.polynomial(_operations(layer)).at(())
    one = configuration
    chain = chain_operations(layer_shape(layer), one.method, len(one.ranks), one.shape)
    return device.polynomial(chain).at(one.ranks)


def _operations(layer: Layer) -> tuple[Operation, ...]:
    """Raises UnmeasuredError for a kept layer of no known kind."""
    if not layer.kept_because:
        return original_operations(layer_shape(layer))
    kept = kept_operation(layer)
    if kept is None:
        raise UnmeasuredError(f"no device has numbers for the layer '{layer.name}' of kind '{layer.kind}'")
    return (kept,)
