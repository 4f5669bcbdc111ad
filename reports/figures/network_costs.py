"""Where a network's params, feature maps and FLOPs are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from rankline.src.dse.numbers import count, percent
from rankline.src.reports.figures.palette import PAPER
from rankline.src.reports.figures.theme import blank, plain

if TYPE_CHECKING:
    import pandas as pd

PARTS = {"params": "params", "fm": "feature maps", "flops": "FLOPs"}

KINDS = {"conv": ("convolutions", "#3A6EA5", ""), "dense": ("dense layers", "#8A6D00", "/")}
"""Kinds with their colours, blue and ochre, which no method has, and their hatching."""

OTHERS = ("other layers", "#707070", "x")

HATCHING = {"fillmode": "overlay", "fgcolor": PAPER, "fgopacity": 0.3, "size": 7, "solidity": 0.2}

LABELLED = 0.09
"""Layers with a smaller share are not named."""

NAME = 12
"""Characters of a name within a bar; the end is shown, because names differ there."""


def network_costs(layers: pd.DataFrame, title: str) -> go.Figure:
    """Bars for the params, feature maps and FLOPs of a sample, each divided into the shares of the layers in percent.

    ``layers`` has the columns name, kind (conv, dense or another), params (weights), fm (elements) and flops, in the
    network's order, from left to right; unknown values may be None. Layers are coloured by kind.
    """
    figure = blank(title, "share of all layers (%)", "", height=280)
    legend = {"y": 1.0, "yanchor": "bottom"}
    figure.update_layout(barmode="overlay", bargap=0.25, legend=legend, margin={"t": 60})
    figure.update_xaxes(range=[0, 100], tickformat="~g", showgrid=False)
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=[*PARTS.values()][::-1], showgrid=False)
    segments = _segments(layers)
    for kind in dict.fromkeys(one["kind"] for one in segments):
        figure.add_trace(_trace([one for one in segments if one["kind"] == kind], *KINDS.get(kind, OTHERS)))
    return figure


def _segments(layers: pd.DataFrame) -> list[dict[str, Any]]:
    """Each layer's part of each bar: where it starts and how long it is, as fractions."""
    found = []
    rows = layers.to_dict("records")
    for part, title in PARTS.items():
        values = [0 if row[part] is None or row[part] != row[part] else int(row[part]) for row in rows]
        total, start = sum(values), 0
        for row, value in zip(rows, values, strict=True):
            if value:
                kind = row["kind"] if row["kind"] in KINDS else ""
                share = value / total
                found.append(
                    {
                        "part": title, "kind": kind, "start": start / total, "share": share, "value": value,
                        "name": row["name"],
                    }
                )  # fmt: skip
            start += value
    return found


def _trace(segments: list[dict[str, Any]], title: str, colour: str, hatching: str) -> go.Bar:
    return go.Bar(
        y=[one["part"] for one in segments],
        x=[round(100 * one["share"], 3) for one in segments],
        base=[round(100 * one["start"], 3) for one in segments],
        orientation="h",
        marker={
            "color": colour,
            "line": {"color": PAPER, "width": 1},
            "pattern": {"shape": hatching, **HATCHING},
        },
        text=[_shortened(one["name"]) if one["share"] >= LABELLED else "" for one in segments],
        textposition="inside",
        insidetextanchor="middle",
        insidetextfont={"color": PAPER},
        textangle=0,
        constraintext="both",
        name=title,
        customdata=[[plain(one["name"]), count(one["value"]), percent(one["share"])] for one in segments],
        hovertemplate="<b>%{customdata[0]}</b><br>%{y} %{customdata[1]} (%{customdata[2]})<extra></extra>",
    )


def _shortened(name: str) -> str:
    return plain(name if len(name) <= NAME else "…" + name[1 - NAME :])
