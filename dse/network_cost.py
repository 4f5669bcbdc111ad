"""Costs of layers as they are, and of whole networks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rankline.src.dse.cost import Cost, total
from rankline.src.dse.formula import original_cost
from rankline.src.dse.layer import Layer
from rankline.src.dse.symbols import layer_shape


def known_cost(layer: Layer) -> tuple[int | None, int | None, int | None]:
    """params, fm and FLOPs of a layer as it is; None where those of a kept layer are not known."""
    if layer.kept_because:
        return layer.kept_params, layer.kept_fm, None if layer.kept_macs is None else 2 * layer.kept_macs
    cost = original_cost(layer_shape(layer))
    return cost.params, cost.fm, cost.flops


def counted_cost(layer: Layer) -> Cost:
    """The cost of a layer as it is, in which what is not known counts nothing."""
    params, fm, flops = known_cost(layer)
    return Cost(params or 0, fm or 0, flops or 0)


def network_cost(params: int, layers: Iterable[Layer]) -> Cost:
    """``params`` counts all weights; feature maps and FLOPs are those of the listed layers, as far as known."""
    return replace(total(map(counted_cost, layers)), params=params)


def uncounted(layers: Iterable[Layer]) -> list[str]:
    """The layers whose FLOPs are not known: with one, a network's FLOPs are "at least" their sum."""
    return [layer.name for layer in layers if known_cost(layer)[2] is None]
