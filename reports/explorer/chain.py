"""The factors of a configuration as a chain of boxes, with the shapes of their weights and feature maps."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from rankline.src.db.queries.solution import Solution
from rankline.src.dse.chain import Link, whole
from rankline.src.dse.layer import Layer
from rankline.src.dse.methods import METHODS
from rankline.src.dse.numbers import si


def chain(layer: Layer, solution: Solution) -> html.Div:
    """The original layer and the factors that replace it, each with the shapes of its weights and output."""
    links = list(METHODS[solution.method].chain(layer, solution.ranks, solution.shape))
    return html.Div(
        [
            html.P("As it is", className="soft"),
            _boxes(layer, [whole(layer)]),
            html.P("Its factors", className="soft"),
            _boxes(layer, links),
        ]
    )


def map_text(sizes: Sequence[int], channels: int, positions: int) -> str:
    """The shape of a feature map: ``197 × 64`` with a token axis, ``2 × (8 × 8 × 64)`` for a layer called twice."""
    shape = _shape((*sizes, channels))
    if positions == 1:
        return shape
    return f"{positions} × ({shape})" if sizes else f"{positions} × {shape}"


def _boxes(layer: Layer, links: Sequence[Link]) -> html.Ol:
    first = map_text(layer.in_size, layer.in_channels, layer.positions)
    boxes = [html.Li([html.B("input"), html.Span(first)], className="map")]
    for one in links:
        weights = [html.B(one.operation), html.Span(f"weights {_shape(one.weights)}")]
        boxes.append(html.Li([*weights, html.Span(f"{si(one.params)} params")], className="factor"))
        boxes.append(html.Li(html.Span(map_text(one.sizes, one.channels, layer.positions)), className="map"))
    return html.Ol(boxes, className="chain")


def _shape(sizes: Sequence[int]) -> str:
    return " × ".join(map(str, sizes))
