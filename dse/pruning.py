"""What a layer costs with some of its filters pruned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from rankline.src.dse.cost import Cost
from rankline.src.dse.devices.latency import LatencyModel
from rankline.src.dse.devices.network import known_latency
from rankline.src.dse.layer import Layer
from rankline.src.dse.network_cost import counted_cost

SHARES = (Fraction(3, 4), Fraction(1, 2), Fraction(1, 4))
"""The shares of a layer's filters that ``pruned_originals`` keeps."""


@dataclass(frozen=True)
class PrunedOriginal:
    """A layer that keeps ``filters`` of its filters (or units, if it is dense), ``of`` as many, and its cost."""

    filters: int
    of: int
    cost: Cost


def pruned(layer: Layer, filters: int) -> Layer:
    """The layer with this many output channels.

    Of C input channels, kernel size K and X' output places, F' of F filters have C K F' params, X' F' feature-map
    elements and 2 C K F' X' FLOPs: each is the original's times F'/F. That the next layer then has fewer inputs, and
    costs less too, is not counted, because it is another layer's. Source: H. Li et al., "Pruning Filters for Efficient
    ConvNets", ICLR 2017, section 3.
    """
    return replace(layer, out_channels=filters)


def pruned_originals(layer: Layer, device: LatencyModel | None = None) -> tuple[PrunedOriginal, ...]:
    """The layer at each of ``SHARES``, with latencies where a device can tell them; none of a layer that is kept as it
    is, and each number of filters once."""
    whole = layer.out_channels
    counts = {max(1, round(share * whole)) for share in SHARES} - {whole} if not layer.kept_because else set()
    made = [(filters, pruned(layer, filters)) for filters in sorted(counts, reverse=True)]
    return tuple(PrunedOriginal(filters, whole, _cost(one, device)) for filters, one in made)


def _cost(layer: Layer, device: LatencyModel | None) -> Cost:
    latency = None if device is None else known_latency(device, layer)
    return replace(counted_cost(layer), latency=latency)
