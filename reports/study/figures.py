"""The figures of the study, drawn from its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from rankline.src.dse.methods import METHODS
from rankline.src.dse.numbers import count, percent
from rankline.src.reports.figures.method_scores import method_scores
from rankline.src.reports.figures.palette import INK, Look, look
from rankline.src.reports.figures.theme import blank, plain
from rankline.src.reports.figures.times import OURS, times
from rankline.src.reports.report.table import Table
from rankline.src.reports.study.published import LONGEST_SECONDS

Row = Mapping[str, Any]

LOOK_OF = {method.title: look(name) for name, method in METHODS.items()}

SETS = {"all": 0.25, "better": 0.6, "useful": 1.0}
"""The sets, with their opacities."""


def counts_figure(table: Table) -> go.Figure:
    """The counts of each layer and method on a log scale: ours as symbols, the published ones as ticks."""
    figure = legend_on_top(blank("", "solutions", "", height=90 + 26 * len(table.rows)))
    names = [_case(row) for row in table.rows]
    for chosen, opacity in SETS.items():
        looks = [LOOK_OF[row["method"]] for row in table.rows]
        marker = {
            "color": [one.faded(opacity) for one in looks],
            "symbol": [one.symbol for one in looks],
            "size": 11,
            "line": {"color": [one.colour for one in looks], "width": 1},
        }
        values = [row[chosen] for row in table.rows]
        figure.add_trace(_points(names, values, f"{chosen} solutions", marker))
    for chosen in ("all", "better"):
        texts = [row[f"{chosen}_published"] for row in table.rows]
        marker = {"symbol": "line-ns", "size": 16, "line": {"color": INK, "width": 1 if chosen == "all" else 2.5}}
        values = [None if text is None else float(text) for text in texts]
        figure.add_trace(_points(names, values, f"{chosen}, published", marker))
    figure.update_xaxes(type="log", tickformat="~s", dtick=1)
    figure.update_yaxes(autorange="reversed", showgrid=True)
    return figure


def steps_figure(rows: Sequence[Row], levels: Mapping[str, str]) -> go.Figure:
    """One layer's solutions at each level of params reduction; ``levels`` maps the rows' keys to their titles."""
    figure = legend_on_top(blank("", "params reduction, from", "solutions", height=320))
    for row in rows:
        style = LOOK_OF[row["method"]]
        useful = row["set"] == "useful"
        figure.add_trace(
            go.Scatter(
                x=list(levels.values()),
                y=[row[key] or None for key in levels],
                mode="lines+markers",
                line={"color": style.colour, "width": 2 if useful else 1, "dash": "solid" if useful else "dot"},
                marker={"symbol": style.symbol if useful else f"{style.symbol}-open", "size": 8},
                name=f"{row['method']}, {row['set']}",
                hovertemplate=f"<b>{row['method']}</b>, {row['set']}<br>from %{{x}}: %{{y:,}}<extra></extra>",
            )
        )
    figure.update_xaxes(type="category")
    figure.update_yaxes(type="log", dtick=1)
    return figure


def constraints_figure(rows: Sequence[Row], fixed: str, other: str) -> go.Figure:
    """For each fixed reduction, a pale bar from the least to the largest over all layers, and a full one for the
    medians."""
    figure = legend_on_top(blank("", f"{fixed} reduction, fixed", f"{other} reduction (%)", height=380))
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method and row["n_with"]]
        style = LOOK_OF[method]
        figure.add_trace(_span(own, "least", "largest", method, style.faded(0.25), style, legend=False))
        figure.add_trace(_span(own, "median_low", "median_high", method, style.colour, style, legend=True))
    levels = [percent(level) for level in dict.fromkeys(row["at"] for row in rows)]
    figure.update_layout(barmode="group", bargap=0.25, bargroupgap=0.1)
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=levels, showgrid=False)
    figure.update_yaxes(tickformat="~g")
    return figure


def times_figure(table: Table) -> go.Figure:
    """Seconds to make and to visit each space, and the longest time in the literature."""
    rows = []
    for row in table.rows:
        work = _case(row)
        rows.append((work, OURS, row["seconds_made"]))
        rows.append((work, "a walk over every configuration", row["seconds_visited"]))
    rows.append(("the longest of the literature", "published", LONGEST_SECONDS))
    return times(pd.DataFrame(rows, columns=["work", "who", "seconds"]), "")


def scores_figure(table: Table, methods: Sequence[str]) -> go.Figure:
    """The mean scores as bars, a group of bars for each criterion."""
    rows = [(row["criterion"], method, row[method]) for method in methods for row in table.rows]
    return method_scores(pd.DataFrame(rows, columns=["criterion", "method", "score"]), "")


def legend_on_top(figure: go.Figure) -> go.Figure:
    """The figure with its legend above the axes."""
    figure.update_layout(legend={"y": 1.0, "yanchor": "bottom"}, margin={"t": 50})
    return figure


def _case(row: Row) -> str:
    return f"{row['layer']}{', stride 2' if row['stride'] == 2 else ''} · {row['method']}"


def _points(names: Sequence[str], values: Sequence[float | None], title: str, marker: dict[str, Any]) -> go.Scatter:
    return go.Scatter(
        x=values,
        y=[plain(name) for name in names],
        mode="markers",
        marker=marker,
        name=title,
        text=[None if value is None else count(round(value)) for value in values],
        hovertemplate=f"<b>%{{y}}</b><br>{title}: %{{text}}<extra></extra>",
    )


def _span(rows: Sequence[Row], low: str, high: str, method: str, fill: str, style: Look, legend: bool) -> go.Bar:
    what = "median range" if legend else "least to largest"
    return go.Bar(
        x=[percent(row["at"]) for row in rows],
        base=[100 * row[low] for row in rows],
        y=[100 * (row[high] - row[low]) for row in rows],
        marker={"color": fill, "line": {"color": style.colour, "width": 1.5 if legend else 0}},
        name=method,
        offsetgroup=method,
        legendgroup=method,
        showlegend=legend,
        customdata=[[percent(row[low]), percent(row[high]), row["n_with"], row["n_layers"]] for row in rows],
        hovertemplate=f"<b>{method}</b>, {what}<br>%{{customdata[0]}} to %{{customdata[1]}}<br>"
        "%{customdata[2]} of %{customdata[3]} layers<extra></extra>",
    )
