"""The figures of the study's latencies, drawn from their tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from rankline.src.dse.numbers import percent
from rankline.src.reports.figures.palette import INK
from rankline.src.reports.figures.theme import blank
from rankline.src.reports.study.figures import LOOK_OF, Row, legend_on_top


def latency_figure(rows: Sequence[Row]) -> go.Figure:
    """The median over layers of each method's lowest latency at each level, with bars from the least to the largest;
    a line where the original is."""
    figure = legend_on_top(blank("", "params reduction", "latency (% of the original's)", height=400))
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method and row["n_with"]]
        middle = [100 * row["median"] for row in own]
        figure.add_trace(
            go.Scatter(
                x=[percent(row["at"]) for row in own],
                y=middle,
                error_y={
                    "type": "data",
                    "array": [100 * row["largest"] - at for row, at in zip(own, middle, strict=True)],
                    "arrayminus": [at - 100 * row["least"] for row, at in zip(own, middle, strict=True)],
                    "color": LOOK_OF[method].faded(0.5),
                    "thickness": 5,
                    "width": 0,
                },
                customdata=[[percent(row["least"]), percent(row["largest"]), *_of(row, "n_faster")] for row in own],
                hovertemplate=f"<b>{method}</b>, %{{x}} fewer params<br>median %{{y:.1f}} %, %{{customdata[0]}} to "
                "%{customdata[1]}<br>faster on %{customdata[2]} of %{customdata[3]} layers<extra></extra>",
                **{**_line(method), "mode": "markers", "offsetgroup": method},
            )
        )
    figure.update_layout(scattermode="group", scattergap=0.4)
    figure.add_hline(y=100, line={"color": INK, "width": 1.5, "dash": "dash"})
    figure.update_yaxes(type="log", tickformat="~g", dtick="D2")
    return _by_level(figure, rows)


def fastest_figure(rows: Sequence[Row]) -> go.Figure:
    """On how many of the layers each method is the fastest, at each level."""
    figure = legend_on_top(blank("", "params reduction", "fastest on (% of layers)", height=340))
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method and row["fastest"] is not None]
        figure.add_trace(
            go.Scatter(
                x=[percent(row["at"]) for row in own],
                y=[100 * row["fastest"] for row in own],
                hovertemplate=f"<b>{method}</b>, %{{x}} fewer params<br>fastest on %{{y:.1f}} %<extra></extra>",
                **_line(method),
            )
        )
    figure.update_yaxes(range=[-4, 104], tickformat="~g")
    return _by_level(figure, rows)


def _line(method: str) -> dict[str, Any]:
    style = LOOK_OF[method]
    return {
        "mode": "lines+markers",
        "name": method,
        "line": {"color": style.colour, "dash": style.dash},
        "marker": {"symbol": style.symbol, "size": 9},
    }


def _of(row: Row, key: str) -> tuple[int, int]:
    return row[key], row["n_with"]


def _by_level(figure: go.Figure, rows: Sequence[Row]) -> go.Figure:
    levels = [percent(level) for level in dict.fromkeys(row["at"] for row in rows)]
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=levels)
    return figure
