"""Costs of layers as they are, and of whole networks."""

from __future__ import annotations

from collections.abc import Iterable

from rankline.src.dse.formula import Cost, original_cost
from rankline.src.dse.layer import Layer
from rankline.src.dse.symbols import layer_shape


def known_cost(layer: Layer) -> tuple[int | None, int | None, int | None]:
    """params, fm and FLOPs of a layer as it is; None where those of a kept layer are not known."""
    if layer.kept_because:
        return layer.kept_params, layer.kept_fm, None if layer.kept_macs is None else 2 * layer.kept_macs
    cost = original_cost(layer_shape(layer))
    return cost.params, cost.fm, cost.flops


def network_cost(params: int, layers: Iterable[Layer]) -> Cost:
    """``params`` counts all weights; feature maps and FLOPs are those of the listed layers, as far as known."""
    costs = [known_cost(layer) for layer in layers]
    return Cost(params, sum(fm or 0 for _, fm, _ in costs), sum(flops or 0 for _, _, flops in costs))


def uncounted(layers: Iterable[Layer]) -> list[str]:
    """The layers whose FLOPs are not known: with one, a network's FLOPs are "at least" their sum."""
    return [layer.name for layer in layers if known_cost(layer)[2] is None]
