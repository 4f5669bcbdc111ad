"""The similarity of each layer's feature maps to the original's, trial by trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from rankline.src.reports.figures.theme import blank, plain

if TYPE_CHECKING:
    import pandas as pd

ROW = 22
"""Pixels per layer."""

LOWEST = 0.9
"""The start of the scale, if no similarity is lower."""

NAME = 24
"""Characters of a layer's name next to its row, from the end, where names differ; the hover text has the full name."""


def similarity(choices: pd.DataFrame) -> go.Figure:
    """A heat map of ``choices``: columns trial (number), layer (name, in order) and similarity (mean cosine)."""
    layers = list(dict.fromkeys(choices["layer"]))
    table = choices.pivot(index="layer", columns="trial", values="similarity").reindex(layers)
    figure = blank("", "trial", "", height=140 + ROW * len(layers))
    figure.add_trace(
        go.Heatmap(
            x=[str(trial) for trial in table.columns],
            y=[plain(layer) for layer in layers],
            z=[[None if value != value else value for value in row] for row in table.to_numpy().tolist()],
            zmin=min(LOWEST, *choices["similarity"].dropna()),
            zmax=1,
            colorscale="Cividis",
            colorbar={
                "thickness": 12,
                "nticks": min(2 + len(layers), 8),
                "title": {"text": "similarity", "side": "right"},
            },
            xgap=1,
            ygap=1,
            hovertemplate="<b>%{y}</b><br>trial %{x}<br>similarity %{z:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    shown = [layer if len(layer) <= NAME else "…" + layer[1 - NAME :] for layer in layers]
    figure.update_yaxes(tickvals=[plain(layer) for layer in layers], ticktext=[plain(name) for name in shown])
    return figure
