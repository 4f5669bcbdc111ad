"""A network's latency on a device as it is and under a plan, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rankline.src.dse.devices.latency import LatencyModel
from rankline.src.dse.devices.network import known_latency
from rankline.src.dse.layer import Layer
from rankline.src.dse.plan import Plan


@dataclass(frozen=True)
class LayerTimes:
    """Picoseconds of a layer as it is, and by its configuration in the plan; None where the device can't tell.

    ``after`` is ``before`` for a layer that is not in the plan.
    """

    layer: str
    before: int | None
    after: int | None


@dataclass(frozen=True)
class NetworkTimes:
    """Picoseconds of a call of the whole network, as it is and under the plan, and those of each layer.

    - ``untold``: layers that the device has no numbers for; they are in neither sum, nor is their configuration
    - ``unplanned``: layers whose configuration it has no numbers for; if there are any, ``after`` is None
    """

    before: int
    after: int | None
    layers: tuple[LayerTimes, ...]

    @property
    def untold(self) -> list[str]:
        """The names of layers that are not in the sums."""
        return [one.layer for one in self.layers if one.before is None]

    @property
    def unplanned(self) -> list[str]:
        """The names of layers whose latency is known as they are, but not by their configuration."""
        return [one.layer for one in self.layers if one.before is not None and one.after is None]


def network_times(
    device: LatencyModel, layers: Sequence[Layer], plan: Plan, params: tuple[int, int] = (0, 0)
) -> NetworkTimes:
    """What a plan changes on a device; see ``network_latency`` for what is in the sums.

    params: the network's weights before and after, for what they take more beside each other (0: left out).
    """
    found = tuple(_times(device, layer, plan) for layer in layers)
    told = [one for one in found if one.before is not None]
    known = [one.after for one in told if one.after is not None]
    before = device.call + sum(one.before or 0 for one in told)
    after = device.call + sum(known) if len(known) == len(told) else None
    more = [device.beside(count) for count in params]
    return NetworkTimes(before + more[0], None if after is None else after + more[1], found)


def _times(device: LatencyModel, layer: Layer, plan: Plan) -> LayerTimes:
    return LayerTimes(layer.name, known_latency(device, layer), known_latency(device, layer, plan.get(layer.name)))
