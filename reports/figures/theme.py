"""What all figures share: background, font, grid, and escaped text."""

from __future__ import annotations

from html import escape
from typing import Any

import plotly.graph_objects as go

from rankline.src.reports.figures.palette import GRID, INK, PAPER, SOFT

CLEAR = "rgba(0,0,0,0)"


def plain(text: str) -> str:
    """The text, escaped so that plotly doesn't read it as markup; plotly's texts are a subset of HTML."""
    return escape(text, quote=False)


def blank(title: str, x_title: str, y_title: str, height: int = 440) -> go.Figure:
    """An empty figure with the ``layout`` of these arguments."""
    return go.Figure(layout={**layout(title, x_title, y_title, height), "template": "none"})


def layout(title: str, x_title: str, y_title: str, height: int = 440) -> dict[str, Any]:
    """A figure's layout with its axis titles, as plotly JSON; the titles may be any text.

    The background is transparent and the lines are mid-grey, to suit light and dark pages. ``height`` in pixels.
    """
    return {
        "title": {"text": plain(title), "font": {"size": 15}, "x": 0, "xref": "paper", "y": 0.98, "yanchor": "top"},
        "height": height,
        "margin": {"l": 60, "r": 20, "t": 44 if title else 34, "b": 50},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": INK},
        "hoverlabel": {"bgcolor": PAPER, "bordercolor": INK, "font": {"color": INK}, "align": "left"},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": -0.2,
            "yanchor": "top",
            "bgcolor": CLEAR,
            "itemsizing": "constant",
        },
        "modebar": {"bgcolor": CLEAR, "color": SOFT, "activecolor": SOFT},
        "xaxis": _axis(x_title),
        "yaxis": _axis(y_title),
    }


def _axis(title: str) -> dict[str, Any]:
    return {
        "title": {"text": plain(title), "standoff": 8},
        "gridcolor": GRID,
        "linecolor": GRID,
        "zeroline": False,
        "automargin": True,
        "tickformat": "~s",
    }
