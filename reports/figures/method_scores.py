"""How the methods compare, criterion by criterion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from rankline.src.dse.methods import METHODS
from rankline.src.reports.figures.palette import look
from rankline.src.reports.figures.theme import blank, plain

if TYPE_CHECKING:
    import pandas as pd

ROW = 50
"""Pixels per criterion."""


def method_scores(scores: pd.DataFrame, title: str) -> go.Figure:
    """The mean scores, from 0 to 1, as bars: a group for each criterion, a colour for each method.

    ``scores`` has the columns criterion, method and score (None if no layer has one); it may be empty.
    """
    criteria = list(dict.fromkeys(scores["criterion"])) if len(scores) else []
    figure = blank(title, "mean score (best method of a layer = 1)", "", height=90 + ROW * len(criteria))
    figure.update_layout(barmode="group", bargap=0.25, legend={"y": 1.0, "yanchor": "bottom"}, margin={"t": 50})
    figure.update_xaxes(range=[0, 1.05], tickformat="~g")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    for method in dict.fromkeys(scores["method"]) if criteria else ():
        figure.add_trace(_bars(scores[scores["method"] == method], method))
    return figure


def _bars(own: pd.DataFrame, method: str) -> go.Bar:
    name = METHODS[method].title if method in METHODS else plain(method)
    values = [None if value is None or value != value else float(value) for value in own["score"]]
    return go.Bar(
        y=[plain(criterion) for criterion in own["criterion"]],
        x=values,
        orientation="h",
        marker={"color": look(method).colour},
        name=name,
        text=["" if value is None else f"{value:.2f}" for value in values],
        textposition="outside",
        cliponaxis=False,
        hovertemplate=f"<b>{name}</b><br>%{{y}}: %{{x:.3f}}<extra></extra>",
    )
