"""The path of a run: accuracy against params, trial by trial."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from rankline.src.db.records.measure import ACCURACY, Measure
from rankline.src.dse.numbers import count
from rankline.src.reports.figures.palette import INK, PAPER, look
from rankline.src.reports.figures.theme import blank, plain

if TYPE_CHECKING:
    import pandas as pd

LABELS = 20
"""With more trials than this, only some are numbered."""

PATH, CHOSEN, LIMIT = look("tucker").colour, look("svd").colour, look("cp").colour


def run_path(
    trials: pd.DataFrame, baseline: float | None, max_drop: float | None, measure: Measure = ACCURACY
) -> go.Figure:
    """Validation accuracy in percent, or another score, against the params of the whole model, numbered in the order of
    the trials.

    ``trials`` has the columns number, status (``original``, ``tried`` or ``chosen``), accuracy (a fraction, or the
    score) and params (weights). With ``baseline``, the original's value, and ``max_drop``, a dashed line shows the
    worst value allowed. measure: what is judged by.
    """
    figure = blank("", "params of the whole model (weights)", f"validation {measure.axis}", height=400)
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(tickformat="~g")
    tried = trials[trials["status"] != "original"]
    trace = partial(_trace, measure)
    figure.add_trace(trace(tried, "trial", {"color": PATH, "size": 9}, "lines+markers+text", _numbers(tried)))
    chosen = trials[trials["status"] == "chosen"]
    large = {"color": CHOSEN, "symbol": "diamond", "size": 15, "line": {"color": INK, "width": 2}}
    figure.add_trace(trace(chosen, "chosen", large, "markers+text", [f"<b>{n}</b>" for n in chosen["number"]]))
    star = {"color": PAPER, "symbol": "star", "size": 15, "line": {"color": INK, "width": 1.5}}
    figure.add_trace(trace(trials[trials["status"] == "original"], "original", star))
    if baseline is not None and max_drop is not None:
        allowed = measure.worst_allowed(baseline, max_drop)
        figure.add_hline(
            y=measure.scale * allowed,
            line={"color": LIMIT, "dash": "dash", "width": 1.5},
            showlegend=True,
            name=f"allowed: {measure.text(allowed)}",
        )
    return figure


def _numbers(tried: pd.DataFrame) -> list[str]:
    """Each trial's number, or an empty text; the chosen trial's number is on its own, larger marker."""
    step = max(1, -(-len(tried) // LABELS))
    pairs = zip(tried["number"], tried["status"], strict=True)
    return ["" if status == "chosen" or j % step else str(number) for j, (number, status) in enumerate(pairs)]


def _trace(
    measure: Measure,
    trials: pd.DataFrame,
    name: str,
    marker: dict[str, object],
    mode: str = "markers",
    text: Sequence[str] = (),
) -> go.Scatter:
    rows = trials.to_dict("records")
    shown = "accuracy %{y:.2f} %" if measure.is_accuracy else f"{plain(measure.name)} %{{y:.4g}}"
    return go.Scatter(
        x=[row["params"] for row in rows],
        y=[measure.scale * row["accuracy"] for row in rows],
        customdata=[[row["number"], plain(row["status"]), count(row["params"])] for row in rows],
        hovertemplate="<b>trial %{customdata[0]}</b> (%{customdata[1]})<br>"
        f"{shown}<br>"
        "params %{customdata[2]}<extra></extra>",
        marker=marker,
        line={"color": marker["color"], "width": 1.5},
        name=name,
        mode=mode,
        text=text,
        textposition="top center",
    )
