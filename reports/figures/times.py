"""How long the same work takes with Rankline and with others."""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from rankline.src.reports.figures.palette import OTHER, look
from rankline.src.reports.figures.theme import blank, plain

if TYPE_CHECKING:
    import pandas as pd

OURS = "Rankline"

PEERS = ("square-open", "diamond-open", "triangle-up-open", "x-open", "pentagon-open", "hexagon-open")
"""Symbols of the others, all grey, in order of appearance."""

ROW = 38
"""Pixels per work."""

MOST_DECADES = 5
"""Up to this many powers of ten, each has a tick."""

NAME = 44
"""Characters of a work's name above its row; the hover text has the full name."""


def times(measured: pd.DataFrame, title: str) -> go.Figure:
    """Seconds on a logarithmic axis, a row for each work: a full symbol for ``OURS``, open ones for the others.

    ``measured`` has the columns work (what was done), who, and seconds; it may have several rows for the same work and
    who, and may be empty.
    """
    if len(measured):
        measured = measured[measured["seconds"] > 0]  # a logarithmic axis can't show less
    works = list(dict.fromkeys(measured["work"])) if len(measured) else []
    figure = blank(title, "seconds (logarithmic)", "", height=130 + ROW * len(works))
    figure.update_layout(legend={"y": 1.0, "yanchor": "bottom"}, margin={"t": 60, "l": 20})
    figure.update_xaxes(type="log", tickformat="~g", **(_spread(measured["seconds"]) if works else {}))
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=[plain(work) for work in works],
        range=[len(works) - 0.6, -0.9],
        showgrid=True,
        showticklabels=False,
    )
    for work in works:
        figure.add_annotation(_label(work))
    whos = list(dict.fromkeys(measured["who"])) if works else []
    peers = [who for who in whos if who != OURS]
    for who in sorted(whos, key=lambda who: who != OURS):
        symbol = look("tucker").symbol if who == OURS else PEERS[peers.index(who) % len(PEERS)]
        colour = look("tucker").colour if who == OURS else OTHER.colour
        figure.add_trace(_trace(measured[measured["who"] == who], who, symbol, colour))
    return figure


def _spread(seconds: pd.Series) -> dict[str, Any]:
    """The axis from the least to the most, with ticks that fit on a phone."""
    low, high = log10(seconds.min()), log10(seconds.max())
    decades = high - low
    step = "D2" if decades < 2 else 1 if decades <= MOST_DECADES else 2
    return {"range": [low - 0.06 * decades - 0.05, high + 0.06 * decades + 0.05], "dtick": step}


def _label(work: str) -> dict[str, Any]:
    """A label above its row, because a phone has no room next to it."""
    shown = work if len(work) <= NAME else work[: NAME - 1] + "…"
    place = {"xref": "paper", "x": 0, "xanchor": "left", "y": plain(work), "yshift": 13, "showarrow": False}
    return {**place, "text": plain(shown), "font": {"size": 11}}


def _trace(own: pd.DataFrame, who: str, symbol: str, colour: str) -> go.Scatter:
    return go.Scatter(
        x=[float(value) for value in own["seconds"]],
        y=[plain(work) for work in own["work"]],
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": 10, "line": {"color": colour, "width": 2}},
        name=plain(who),
        hovertemplate=f"<b>%{{y}}</b><br>{plain(who)}: %{{x:.3g}} s<extra></extra>",
    )
