"""The accuracy, or the predicted damage, at each share of the cost that is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from rankline.src.db.records.measure import ACCURACY, Measure
from rankline.src.reports.figures.palette import INK, PAPER, look
from rankline.src.reports.figures.theme import blank

if TYPE_CHECKING:
    import pandas as pd

TEST, VALIDATION, DAMAGE = look("tucker"), look("cp"), look("svd")


def sweep_curve(points: pd.DataFrame, metric: str, measure: Measure = ACCURACY) -> go.Figure:
    """Accuracy in percent, or another score, against the share of a cost that is kept; the predicted damage if none is
    known.

    metric: the title of the cost; measure: what is judged by. ``points`` has the columns kept (the share of it), test,
    validation (accuracies as fractions, scores or None) and damage; the original is the point at 1 without damage.
    """
    known = points[["test", "validation"]].notna().any(axis=None)
    y_title = measure.axis if known else "predicted damage"
    figure = blank("", f"{metric} kept (%)", y_title, height=400)
    figure.update_xaxes(tickformat="~g")
    figure.update_yaxes(tickformat="~g")
    if not known:
        figure.update_yaxes(type="log", dtick=1)
        # A logarithmic axis can't show zero damage.
        some = points[points["damage"] > 0]
        figure.add_trace(_trace(some, "damage", "predicted damage", DAMAGE.colour, DAMAGE.symbol, scale=1))
        return figure
    made = points[points["damage"].notna()]
    for part, style in (("test", TEST), ("validation", VALIDATION)):
        if made[part].notna().any():
            figure.add_trace(_trace(made, part, part, style.colour, style.symbol, measure.scale))
    original = points[points["damage"].isna()]
    part = "test" if points["test"].notna().any() else "validation"
    star = _trace(original, part, f"original, {part}", PAPER, "star", measure.scale)
    star.marker.update(size=15, line={"color": INK, "width": 1.5})
    figure.add_trace(star)
    return figure


def _trace(points: pd.DataFrame, column: str, name: str, colour: str, symbol: str, scale: float = 100) -> go.Scatter:
    unit = " %" if scale == 100 else ""
    return go.Scatter(
        x=(100 * points["kept"]).tolist(),
        y=(scale * points[column]).tolist(),
        name=name,
        mode="lines+markers",
        marker={"color": colour, "symbol": symbol, "size": 9},
        line={"color": colour, "width": 1.5},
        hovertemplate=f"<b>{name}</b><br>%{{x:.1f}} % kept<br>%{{y:.4~g}}{unit}<extra></extra>",
    )
