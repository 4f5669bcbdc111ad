"""The least error of a layer's configurations at each cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from rankline.src.dse.methods import METHODS
from rankline.src.dse.numbers import percent, spread_text
from rankline.src.reports.figures.axis import AXES
from rankline.src.reports.figures.palette import look
from rankline.src.reports.figures.theme import blank, plain

if TYPE_CHECKING:
    import pandas as pd

EXACT, ESTIMATE = "exact", "estimate"


def front(points: pd.DataFrame, title: str, cost: str = "params") -> go.Figure:
    """The relative error in percent against a cost, a line for each method; open symbols mark errors that aren't exact.

    ``points`` has the columns method, ranks (a list), shape (a text or None), error (a fraction), certainty (exact,
    bound or estimate) and the ``cost``, one of AXES; it may be empty. Estimates may have error_low and error_high,
    between which the true error lies.
    """
    figure = blank(title, AXES[cost].title, "relative error (%)", height=340)
    figure.update_xaxes(rangemode="tozero", **AXES[cost].shown())
    figure.update_yaxes(rangemode="tozero", tickformat="~g")
    if not len(points):
        return figure
    known = list(dict.fromkeys(points["method"]))
    for method in [*(name for name in METHODS if name in known), *(name for name in known if name not in METHODS)]:
        own = points[points["method"] == method]
        for certainty in dict.fromkeys(own["certainty"]):
            rows = own[own["certainty"] == certainty].sort_values(cost).to_dict("records")
            figure.add_trace(_trace(rows, method, certainty, cost))
    return figure


def _trace(rows: list[dict[Any, Any]], method: str, certainty: str, cost: str) -> go.Scatter:
    style, axis = look(method), AXES[cost]
    title = METHODS[method].title if method in METHODS else plain(method)
    exact = certainty == EXACT
    return go.Scatter(
        x=[axis.place(int(row[cost])) for row in rows],
        y=[round(100 * row["error"], 3) for row in rows],
        mode="lines+markers",
        line={"color": style.colour, "width": 1.5, "dash": style.dash if exact else "dot"},
        marker={"color": style.colour, "symbol": style.symbol if exact else f"{style.symbol}-open", "size": 7},
        customdata=[[_ranks(row), axis.metric.text(row[cost]), _error(row)] for row in rows],
        hovertemplate=f"<b>{title}</b>, %{{customdata[0]}}<br>{axis.metric.name} %{{customdata[1]}}<br>"
        f"error %{{customdata[2]}} ({plain(certainty)})<extra></extra>",
        name=title if exact else f"{title}, {plain(certainty)}",
    )


def _error(row: dict[Any, Any]) -> str:
    spread = spread_text(row.get("error_low"), row.get("error_high")) if row["certainty"] == ESTIMATE else ""
    return f"{percent(row['error'])}{spread}"


def _ranks(row: dict[Any, Any]) -> str:
    shape = f", shape {plain(row['shape'])}" if isinstance(row["shape"], str) else ""
    return f"rank{'s' if len(row['ranks']) > 1 else ''} {', '.join(map(str, row['ranks']))}{shape}"
