"""The points of a layer's cloud that are no factorizations: the original quantized, and with filters pruned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rankline.src.dse.cost import Cost
from rankline.src.dse.metric import LATENCY
from rankline.src.dse.numbers import count, percent
from rankline.src.dse.precision import ELEMENT_BYTES
from rankline.src.dse.pruning import PrunedOriginal
from rankline.src.reports.figures.axis import Axis
from rankline.src.reports.figures.palette import PRUNED, QUANTIZED, Look


def smaller_originals(original: Cost, pruned: Sequence[PrunedOriginal], axis: Axis) -> list[dict[str, Any]]:
    """A trace for each of the two, as plotly JSON, where it has points on the axis.

    Quantization leaves params and FLOPs as they are: it has points where the axis is in bytes, at the precisions with
    fewer bytes per element than the axis. Pruning has points wherever the metric of the axis is known.
    """
    return [*_quantized(original, axis), *_pruned(original, pruned, axis)]


def _quantized(original: Cost, axis: Axis) -> list[dict[str, Any]]:
    read_at = axis.metric.bytes_per_element
    fewer = {name: size for name, size in ELEMENT_BYTES.items() if read_at is not None and size < read_at}
    if not fewer:
        return []
    values = {name: axis.metric.at(size).of(original) for name, size in fewer.items()}
    hover = [
        f"<b>original, quantized to {name}</b><br>{axis.metric.title} {count(value)} bytes<br>"
        f"FLOPs {count(original.flops)}"
        for name, value in values.items()
    ]
    places = [(axis.place(value), original.flops) for value in values.values()]
    return [_trace("quantized original", QUANTIZED, places, list(values), "top center", hover)]


def _pruned(original: Cost, pruned: Sequence[PrunedOriginal], axis: Axis) -> list[dict[str, Any]]:
    known = [one for one in pruned if axis.metric.is_known(one.cost)]
    if not known:
        return []
    places = [(axis.place(axis.metric.of(one.cost)), one.cost.flops) for one in known]
    texts = [f"{one.filters / one.of:.0%}" for one in known]
    hover = [_pruned_hover(original, one, axis) for one in known]
    return [_trace("pruned original", PRUNED, places, texts, "bottom right", hover)]


def _pruned_hover(original: Cost, one: PrunedOriginal, axis: Axis) -> str:
    costs = [("params", one.cost.params, original.params), ("FLOPs", one.cost.flops, original.flops)]
    lines = [f"<b>original, pruned to {count(one.filters)} of {count(one.of)} filters</b>"]
    lines += [f"{title} {count(now)} (reduction {percent(1 - now / was)})" for title, now, was in costs]
    if axis.is_in_bytes:
        lines.append(f"{axis.metric.title} {count(axis.metric.of(one.cost))} bytes")
    if one.cost.latency is not None:
        lines.append(f"latency {LATENCY.text(one.cost.latency)}")
    return "<br>".join(lines)


def _trace(
    name: str, style: Look, places: Sequence[tuple[float, int]], texts: list[str], beside: str, hover: list[str]
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "x": [x for x, _ in places],
        "y": [y for _, y in places],
        "mode": "markers+text",
        "marker": {"color": style.colour, "symbol": style.symbol, "size": 13},
        "text": texts,
        "textposition": beside,
        "hovertext": hover,
        "hovertemplate": "%{hovertext}<extra></extra>",
        "name": name,
    }
