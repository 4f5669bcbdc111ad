"""The figures of a study of precisions, drawn from what was found."""

from __future__ import annotations

from collections.abc import Iterator

import plotly.graph_objects as go

from rankline.src.compress.precision_study.rows import Pair, PrecisionStudy
from rankline.src.dse.methods import METHODS
from rankline.src.dse.numbers import count, percent
from rankline.src.dse.precision import F16, F32, INT8, INT8_DYNAMIC, INT8_WEIGHTS
from rankline.src.reports.figures.palette import INK, look
from rankline.src.reports.figures.theme import blank, plain
from rankline.src.reports.study.figures import legend_on_top

MARKS = {
    F32.name: ("-open", 1.0),
    F16.name: ("-open-dot", 1.0),
    INT8.name: ("", 1.0),
    INT8_DYNAMIC.name: ("", 0.45),
    INT8_WEIGHTS.name: ("-dot", 1.0),
}
"""What a precision adds to the symbol of a method, and its opacity."""

READING = "Open symbols: f32; open with a dot: f16; full: int8; pale: int8-dynamic; full with a dot: int8-weights."


def sums_figure(found: PrecisionStudy) -> go.Figure:
    """What both lose against the sum of what each loses, with the diagonal on which they add up."""
    scale, name = found.measure.scale, found.measure.axis
    pairs = [one for one in found.pairs if one.is_of_both]
    figure = legend_on_top(blank("", f"sum of both losses, {name}", f"lost by both, {name}", height=460))
    ends = [scale * value for one in pairs for value in (one.predicted, one.both)] or [0.0]
    line = {"color": INK, "width": 1, "dash": "dot"}
    span = [min(ends), max(ends)]
    figure.add_trace(go.Scatter(x=span, y=span, mode="lines", line=line, hoverinfo="skip", name="they add up"))
    for method, own in _by_method(pairs):
        x, y = ([scale * getattr(one, key) for one in own] for key in ("predicted", "both"))
        figure.add_trace(_points(method, own, x, y, found))
    figure.update_xaxes(tickformat="~g")
    figure.update_yaxes(tickformat="~g")
    return figure


def sizes_figure(found: PrecisionStudy) -> go.Figure:
    """The score of each file against its bytes, with a line at the original's score in Keras."""
    scale = found.measure.scale
    figure = legend_on_top(blank("", "bytes of the file (logarithmic)", found.measure.axis, height=460))
    for method, own in _by_method(found.pairs):
        x, y = [float(one.filed.bytes) for one in own], [scale * one.filed.score for one in own]
        figure.add_trace(_points(method, own, x, y, found))
    figure.add_hline(y=scale * found.pairs[0].filed.float_score, line={"color": INK, "width": 1.5, "dash": "dash"})
    figure.update_xaxes(type="log", tickformat="~s", dtick="D2")
    figure.update_yaxes(tickformat="~g")
    return figure


def _by_method(pairs: tuple[Pair, ...] | list[Pair]) -> Iterator[tuple[str, list[Pair]]]:
    for method in dict.fromkeys(one.method for one in pairs):
        yield method, [one for one in pairs if one.method == method]


def _points(method: str, own: list[Pair], x: list[float], y: list[float], found: PrecisionStudy) -> go.Scatter:
    style = look(method)
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        name=METHODS[method].title if method in METHODS else plain(method),
        marker={
            "color": style.colour,
            "symbol": [f"{style.symbol}{MARKS[one.filed.precision][0]}" for one in own],
            "opacity": [MARKS[one.filed.precision][1] for one in own],
            "size": 9,
        },
        customdata=[_told(one, found) for one in own],
        hovertemplate="<b>%{fullData.name}</b>, %{customdata[0]}<br>%{customdata[1]}, %{customdata[2]} bytes<br>"
        "%{customdata[3]}<br>deviation %{customdata[4]}<extra></extra>",
    )


def _told(one: Pair, found: PrecisionStudy) -> list[str]:
    kept = "" if one.share is None else f", {percent(one.share)} of the {one.metric}"
    measure, filed = found.measure, one.filed
    score = f"{measure.name} {measure.text(filed.score)}, in Keras {measure.text(filed.float_score)}"
    shown = [f"{one.ranks}{kept}", filed.precision, count(filed.bytes), score, measure.change(0.0, one.deviation)]
    return [plain(text) for text in shown]
