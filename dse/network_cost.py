"""The costs of original layers and of whole networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rankline.src.dse.cost import Cost, total
from rankline.src.dse.formula import original_cost
from rankline.src.dse.layer import Layer
from rankline.src.dse.symbols import layer_shape


def known_cost(layer: Layer) -> tuple[int | None, int | None, int | None]:
    """params, fm and FLOPs of an original layer; None for unknown counts of a kept layer."""
    if layer.kept_because:
        return layer.kept_params, layer.kept_fm, None if layer.kept_macs is None else 2 * layer.kept_macs
    cost = original_cost(layer_shape(layer))
    return cost.params, cost.fm, cost.flops


def counted_cost(layer: Layer) -> Cost:
    """The cost of an original layer, with unknown counts as 0."""
    return cost_of_counts(*known_cost(layer))


def cost_of_counts(params: int | None, fm: int | None, flops: int | None) -> Cost:
    """The cost of counts of which some may be unknown (None): these count as 0, and the cost is not whole."""
    return Cost(params or 0, fm or 0, flops or 0, is_whole=None not in (params, fm, flops))


def network_cost(params: int, layers: Iterable[Layer]) -> Cost:
    """A network's cost: ``params`` counts all weights, feature maps and FLOPs those of the layers, as far as known."""
    return replace(total(map(counted_cost, layers)), params=params)


def uncounted(layers: Iterable[Layer]) -> list[str]:
    """The names of layers with unknown FLOPs or feature maps; if there are any, a network's are "at least" their
    sum."""
    return [layer.name for layer in layers if not counted_cost(layer).is_whole]


def uncounted_sentence(names: Sequence[str]) -> str:
    """What to say of the layers that ``uncounted`` found."""
    return f"the FLOPs of {', '.join(names)} are not known, and not in the sums"
