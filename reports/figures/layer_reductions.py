"""The reductions of each factorized layer, by method."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from rankline.src.dse.methods import METHODS
from rankline.src.dse.numbers import percent
from rankline.src.reports.figures.palette import look
from rankline.src.reports.figures.theme import blank, plain

if TYPE_CHECKING:
    import pandas as pd

ROW = 34
"""Pixels per layer."""

NAME = 24
"""Characters of a layer's name next to its bars; the end is shown, because names differ there."""

BARS = {"params_reduction": ("params", 1.0), "flops_reduction": ("FLOPs", 0.35)}
"""The columns, with their titles and opacities."""


def layer_reductions(choices: pd.DataFrame, title: str) -> go.Figure:
    """Bars of the reductions of params (full) and FLOPs (pale) in percent, below 0 for growth, coloured by method.

    ``choices`` has a row for each layer, in order, with the columns layer (name), method, params_reduction and
    flops_reduction (fractions); it may be empty.
    """
    layers = list(choices["layer"]) if len(choices) else []
    figure = blank(title, "reduction (%)", "", height=130 + ROW * len(layers))
    figure.update_layout(barmode="group", bargap=0.3, legend={"y": 1.0, "yanchor": "bottom"}, margin={"t": 60})
    figure.update_xaxes(tickformat="~g", zeroline=True, rangemode="tozero")
    shown = [name if len(name) <= NAME else "…" + name[1 - NAME :] for name in layers]
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=[plain(name) for name in layers],
        autorange="reversed",
        showgrid=False,
        tickvals=[plain(name) for name in layers],
        ticktext=[plain(name) for name in shown],
    )
    for method in dict.fromkeys(choices["method"]) if layers else ():
        for metric in BARS:
            figure.add_trace(_bars(choices[choices["method"] == method], method, metric))
    return figure


def _bars(choices: pd.DataFrame, method: str, metric: str) -> go.Bar:
    style, (name, strength) = look(method), BARS[metric]
    title = METHODS[method].title if method in METHODS else plain(method)
    return go.Bar(
        y=[plain(layer) for layer in choices["layer"]],
        x=[round(100 * value, 3) for value in choices[metric]],
        orientation="h",
        offsetgroup=metric,
        marker={"color": style.faded(strength), "line": {"color": style.colour, "width": 1}},
        name=f"{title}, {name}",
        customdata=[percent(value) for value in choices[metric]],
        hovertemplate=f"<b>%{{y}}</b><br>{title}: {name} reduced by %{{customdata}}<extra></extra>",
    )
