"""How near a device's predictions are to what was measured."""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from rankline.src.dse.methods import METHODS
from rankline.src.dse.numbers import change
from rankline.src.reports.figures.palette import INK, REGION, look
from rankline.src.reports.figures.theme import blank, plain

if TYPE_CHECKING:
    import pandas as pd

BAND = 0.15
"""The relative error that the band shows."""

ORIGINAL = "layers as they are"


def predicted_times(points: pd.DataFrame, title: str) -> go.Figure:
    """Predicted against measured microseconds on logarithmic axes, a symbol for each method, with the diagonal and a
    band of BAND around it.

    ``points`` has the columns method (None for a layer as it is), what (was measured), measured and predicted (in
    microseconds); it may be empty.
    """
    figure = blank(title, "measured (µs, logarithmic)", "predicted (µs, logarithmic)", height=460)
    if len(points):
        points = points[(points["measured"] > 0) & (points["predicted"] > 0)]  # a logarithmic axis can't show less
    if not len(points):
        return figure
    times = points[["measured", "predicted"]].to_numpy(float)
    low, high = times.min() / 1.3, times.max() * 1.3
    decades = log10(high / low)
    for axis in (figure.update_xaxes, figure.update_yaxes):
        axis(type="log", range=[log10(low), log10(high)], dtick="D2" if decades < 2 else 1, tickformat="~g")
    figure.add_trace(_band(low, high))
    figure.add_trace(_diagonal(low, high))
    known = list(points["method"].fillna(ORIGINAL).unique())
    for method in [ORIGINAL, *METHODS, *(name for name in known if name not in METHODS and name != ORIGINAL)]:
        if method in known:
            figure.add_trace(_trace(points[points["method"].fillna(ORIGINAL) == method], method))
    return figure


def _band(low: float, high: float) -> go.Scatter:
    down, up = 1 - BAND, 1 + BAND
    return go.Scatter(
        x=[low, high, high, low, low],
        y=[down * low, down * high, up * high, up * low, down * low],
        mode="lines",
        fill="toself",
        fillcolor=REGION,
        line={"width": 0},
        hoverinfo="skip",
        name=f"within {100 * BAND:.0f} %",
    )


def _diagonal(low: float, high: float) -> go.Scatter:
    line = {"color": INK, "width": 1, "dash": "dot"}
    return go.Scatter(x=[low, high], y=[low, high], mode="lines", line=line, hoverinfo="skip", name="as measured")


def _trace(own: pd.DataFrame, method: str) -> go.Scatter:
    style = look(method)
    rows: list[dict[Any, Any]] = own.to_dict("records")
    return go.Scatter(
        x=[float(row["measured"]) for row in rows],
        y=[float(row["predicted"]) for row in rows],
        mode="markers",
        marker={"color": style.colour, "symbol": style.symbol, "size": 7},
        customdata=[[plain(row["what"]), change(1 - row["predicted"] / row["measured"])] for row in rows],
        hovertemplate="<b>%{customdata[0]}</b><br>measured %{x:.4g} µs<br>"
        "predicted %{y:.4g} µs (%{customdata[1]})<extra></extra>",
        name=METHODS[method].title if method in METHODS else plain(method),
    )
