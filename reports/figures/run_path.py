"""The path of a run: accuracy against params, trial by trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from rankline.src.dse.numbers import count, percent
from rankline.src.reports.figures.palette import INK, PAPER, look
from rankline.src.reports.figures.theme import blank, plain

if TYPE_CHECKING:
    import pandas as pd

LABELS = 20
"""With more trials than this, only some are numbered."""

PATH, CHOSEN, LIMIT = look("tucker").colour, look("svd").colour, look("cp").colour


def run_path(trials: pd.DataFrame, baseline_accuracy: float | None, max_drop: float | None) -> go.Figure:
    """Validation accuracy in percent against the params of the whole model, numbered in the order of the trials.

    ``trials`` has the columns number, status (``original``, ``tried`` or ``chosen``), accuracy (a fraction) and
    params (weights). With ``baseline_accuracy`` and ``max_drop``, both fractions, a dashed line shows the
    lowest accuracy allowed.
    """
    figure = blank("", "params of the whole model (weights)", "validation accuracy (%)", height=400)
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(tickformat="~g")
    tried = trials[trials["status"] != "original"]
    figure.add_trace(_trace(tried, "trial", {"color": PATH, "size": 9}, "lines+markers+text", _numbers(tried)))
    chosen = trials[trials["status"] == "chosen"]
    large = {"color": CHOSEN, "symbol": "diamond", "size": 15, "line": {"color": INK, "width": 2}}
    figure.add_trace(_trace(chosen, "chosen", large, "markers+text", [f"<b>{n}</b>" for n in chosen["number"]]))
    star = {"color": PAPER, "symbol": "star", "size": 15, "line": {"color": INK, "width": 1.5}}
    figure.add_trace(_trace(trials[trials["status"] == "original"], "original", star))
    if baseline_accuracy is not None and max_drop is not None:
        allowed = baseline_accuracy - max_drop
        figure.add_hline(
            y=100 * allowed,
            line={"color": LIMIT, "dash": "dash", "width": 1.5},
            showlegend=True,
            name=f"allowed: {percent(allowed)}",
        )
    return figure


def _numbers(tried: pd.DataFrame) -> list[str]:
    """Each trial's number, or an empty text; the chosen trial's number is on its own, larger marker."""
    step = max(1, -(-len(tried) // LABELS))
    pairs = zip(tried["number"], tried["status"], strict=True)
    return ["" if status == "chosen" or j % step else str(number) for j, (number, status) in enumerate(pairs)]


def _trace(
    trials: pd.DataFrame, name: str, marker: dict[str, object], mode: str = "markers", text: Sequence[str] = ()
) -> go.Scatter:
    rows = trials.to_dict("records")
    return go.Scatter(
        x=[row["params"] for row in rows],
        y=[100 * row["accuracy"] for row in rows],
        customdata=[[row["number"], plain(row["status"]), count(row["params"])] for row in rows],
        hovertemplate="<b>trial %{customdata[0]}</b> (%{customdata[1]})<br>accuracy %{y:.2f} %<br>"
        "params %{customdata[2]}<extra></extra>",
        marker=marker,
        line={"color": marker["color"], "width": 1.5},
        name=name,
        mode=mode,
        text=text,
        textposition="top center",
    )
