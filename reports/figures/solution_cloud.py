"""The costs of a layer's configurations: FLOPs against params, memory or latency."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from rankline.src.dse.cost import Cost
from rankline.src.dse.methods import METHODS
from rankline.src.dse.metric import LATENCY
from rankline.src.dse.numbers import count, percent
from rankline.src.dse.precision import F32
from rankline.src.dse.pruning import PrunedOriginal
from rankline.src.reports.figures.axis import AXES, Axis
from rankline.src.reports.figures.palette import INK, PAPER, REGION, look
from rankline.src.reports.figures.smaller_originals import smaller_originals
from rankline.src.reports.figures.theme import layout, plain

if TYPE_CHECKING:
    import pandas as pd

VIEW = 1.25
"""The axes end at this multiple of the original's params and FLOPs; a double click shows everything."""

AGAINST = ("params", "memory_bytes", "latency_ps")
"""Those of AXES that FLOPs can be drawn against."""

HOVER = (
    "<b>%{customdata[0]}</b>",
    "params %{customdata[1]} (reduction %{customdata[2]})",
    "FLOPs %{customdata[3]} (reduction %{customdata[4]})",
    "latency %{customdata[5]} (reduction %{customdata[6]})",
)
"""The lines of a configuration; the last one only on a device."""

IN_BYTES = "{} %{{x:,}} bytes"
"""The line of what an axis in bytes shows."""


def solution_cloud(
    envelope: pd.DataFrame,
    sample: pd.DataFrame,
    original: Cost,
    chosen: pd.DataFrame,
    title: str,
    picks: pd.DataFrame | None = None,
    against: str = "params",
    pruned: Sequence[PrunedOriginal] = (),
) -> go.Figure:
    """The configurations of one layer by one or several methods, FLOPs of a sample against params in weights.

    ``envelope`` has the columns method, low, high, min_flops, max_flops, and becomes a band for each method;
    ``sample``, ``chosen`` and ``picks`` have those of ``Solution.as_dict`` and become points; each may be empty.
    ``against``: one of ``AGAINST``, whose metric low and high are of too. Beside them are the original, ``pruned`` ones
    and, where the axis is in bytes, quantized ones.
    The region where params (or what is asked instead) and FLOPs are both below the original's is shaded.
    """
    ground = cloud_ground(envelope, original, title, against)
    methods = _in_order({*_methods(envelope), *_methods(sample)})
    points = cloud_points(methods, sample, chosen, picks, against)
    traces = [*ground["data"], *points, *smaller_originals(original, pruned, AXES[against])]
    return go.Figure(traces, {**ground["layout"], "template": "none"})


def cloud_ground(
    envelope: pd.DataFrame, original: Cost, title: str, against: str = "params", precision: str = F32.name
) -> dict[str, Any]:
    """The background of ``solution_cloud``: the bands, the original, and the region that is better. precision: that of
    the envelope, where it is in bytes.

    Empty where the original has no place on the axis: a device may have no numbers for it. As plotly JSON, because
    plotly takes longer to validate a figure than it takes to compute its content.
    """
    axis = AXES[against].at(precision)
    ground = layout(title, axis.title, AXES["flops"].title)
    if not axis.metric.is_known(original):
        return {"data": [], "layout": ground}
    whole = axis.place(axis.metric.of(original))
    ground["xaxis"] |= {"range": [0, VIEW * whole], **axis.shown()}
    ground["yaxis"]["range"] = [0, VIEW * original.flops]
    region = {"type": "rect", "x0": 0, "y0": 0, "x1": whole, "y1": original.flops, "layer": "below"}
    shown = {"fillcolor": REGION, "line": {"width": 0}, "showlegend": True, "name": "better than the original"}
    bands = [_band(envelope[envelope["method"] == method], method, axis) for method in _in_order(_methods(envelope))]
    return {"data": [*bands, _original(original, whole, axis)], "layout": {**ground, "shapes": [region | shown]}}


def cloud_points(
    methods: Sequence[str],
    sample: pd.DataFrame,
    chosen: pd.DataFrame,
    picks: pd.DataFrame | None = None,
    against: str = "params",
) -> list[dict[str, Any]]:
    """The points of ``solution_cloud``, as plotly JSON: the samples, the picks and the chosen configurations."""
    traces = [_points(sample[sample["method"] == name] if len(sample) else sample, name, against) for name in methods]
    if picks is not None and len(picks):
        traces.append(_picks(picks, against))
    marked = sorted(_methods(chosen))
    return traces + [_chosen(chosen[chosen["method"] == name], name, against) for name in marked]


def _in_order(methods: Collection[str]) -> list[str]:
    """The known methods in registry order, then others."""
    return [*(name for name in METHODS if name in methods), *sorted(set(methods) - METHODS.keys())]


def _methods(frame: pd.DataFrame) -> set[str]:
    return set(frame["method"]) if len(frame) else set()


def _title(method: str) -> str:
    return METHODS[method].title if method in METHODS else plain(method)


def _band(envelope: pd.DataFrame, method: str, axis: Axis) -> dict[str, Any]:
    style = look(method)
    x, y = _outline(envelope)
    return {
        "type": "scatter",
        "x": [None if edge is None else axis.place(edge) for edge in x],
        "y": y,
        "fill": "toself",
        "fillcolor": style.faded(0.16),
        "mode": "lines",
        "line": {"color": style.colour, "width": 1, "dash": style.dash},
        "hoverinfo": "skip",
        "legendgroup": method,
        "showlegend": False,
    }


def _outline(envelope: pd.DataFrame) -> tuple[list[int | None], list[int | None]]:
    """A stepped polygon around each run of adjacent levels, with None between polygons."""
    stretches: list[list[tuple[int, int, int, int]]] = []
    columns = ("low", "high", "min_flops", "max_flops")
    for row in envelope[list(columns)].itertuples(index=False) if len(envelope) else ():
        level = (int(row[0]), int(row[1]) + 1, int(row[2]), int(row[3]))
        if stretches and stretches[-1][-1][1] == level[0]:
            stretches[-1].append(level)
        else:
            stretches.append([level])
    x: list[int | None] = []
    y: list[int | None] = []
    for levels in stretches:
        backwards = levels[::-1]
        x += [*(edge for low, high, _, _ in levels for edge in (low, high))]
        x += [*(edge for low, high, _, _ in backwards for edge in (high, low)), levels[0][0], None]
        y += [*(most for *_, most in levels for _ in range(2))]
        y += [*(least for *_, least, _ in backwards for _ in range(2)), levels[0][3], None]
    return x, y


def _points(sample: pd.DataFrame, method: str, against: str) -> dict[str, Any]:
    style = look(method)
    return {
        "type": "scatter",
        # A trace without any point would be missing from the legend.
        "x": _places(sample, against) if len(sample) else [None],
        "y": [int(value) for value in sample["flops"]] if len(sample) else [None],
        "mode": "markers",
        "marker": {"color": style.colour, "symbol": style.symbol, "size": 6, "opacity": 0.7},
        "customdata": _hover(sample),
        "hovertemplate": _lines(sample, against),
        "name": _title(method),
        "legendgroup": method,
    }


def _picks(picks: pd.DataFrame, against: str) -> dict[str, Any]:
    """The picks of all methods, each in its method's colour and symbol, with an outline."""
    styles = [look(method) for method in picks["method"]]
    return {
        "type": "scatter",
        "x": _places(picks, against),
        "y": [int(value) for value in picks["flops"]],
        "mode": "markers",
        "marker": {
            "color": [style.colour for style in styles],
            "symbol": [style.symbol for style in styles],
            "size": 11,
            "line": {"color": INK, "width": 2},
        },
        "customdata": _hover(picks),
        "hovertemplate": _lines(picks, against),
        "name": "picks",
    }


def _chosen(chosen: pd.DataFrame, method: str, against: str) -> dict[str, Any]:
    style = look(method)
    return {
        "type": "scatter",
        "x": _places(chosen, against),
        "y": [int(value) for value in chosen["flops"]],
        "mode": "markers+text",
        "marker": {"color": style.colour, "symbol": style.symbol, "size": 17, "line": {"color": INK, "width": 2}},
        "text": ["<b>chosen</b>"] * len(chosen),
        "textposition": "middle right",
        "customdata": _hover(chosen),
        "hovertemplate": _lines(chosen, against),
        "name": f"chosen: {_title(method)}",
    }


def _original(original: Cost, x: float, axis: Axis) -> dict[str, Any]:
    in_bytes = f"<br>{IN_BYTES.format(axis.metric.title)}" if axis.is_in_bytes else ""
    return {
        "type": "scatter",
        "x": [x],
        "y": [original.flops],
        "mode": "markers+text",
        "marker": {"color": PAPER, "symbol": "star", "size": 15, "line": {"color": INK, "width": 1.5}},
        "text": ["original"],
        "textposition": "top center",
        "hovertemplate": f"<b>original</b><br>params {count(original.params)}<br>FLOPs {count(original.flops)}"
        f"{in_bytes}{_original_time(original)}<extra></extra>",
        "name": "original",
    }


def _original_time(original: Cost) -> str:
    return "" if original.latency is None else f"<br>latency {LATENCY.text(original.latency)}"


def _places(frame: pd.DataFrame, against: str) -> list[float]:
    return [AXES[against].place(int(value)) for value in frame[against]]


def _lines(frame: pd.DataFrame, against: str) -> str:
    lines = list(HOVER if "latency_ps" in frame else HOVER[:-1])
    axis = AXES[against]
    lines += [IN_BYTES.format(axis.metric.title)] if axis.is_in_bytes else []
    return "<br>".join(lines) + "<extra></extra>"


def _hover(frame: pd.DataFrame) -> list[list[str]]:
    return [
        [
            _configuration(row),
            count(row["params"]),
            percent(row["params_reduction"]),
            count(row["flops"]),
            percent(row["flops_reduction"]),
            *([LATENCY.text(row["latency_ps"]), percent(row["latency_reduction"])] if "latency_ps" in row else []),
        ]
        for row in frame.to_dict("records")
    ]


def _configuration(row: dict[Any, Any]) -> str:
    """A configuration as on the command line: ``tucker 3x8``, ``t3f 2x2 4x8:8x4``."""
    shape = f" {row['shape']}" if isinstance(row["shape"], str) else ""
    return plain(f"{row['method']} {'x'.join(map(str, row['ranks']))}{shape}")
