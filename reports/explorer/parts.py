"""Parts of pages: tables, figures, hints and links."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import plotly.graph_objects as go
from dash import dcc, html

from rankline.src.db.queries.solution import Solution
from rankline.src.dse.cost import Cost
from rankline.src.dse.metric import FLOPS, FM, LATENCY, PARAMS, Metric
from rankline.src.dse.numbers import MISSING, change, count, percent, spread_text
from rankline.src.dse.precision import F32
from rankline.src.reports.figures.axis import AXES
from rankline.src.reports.figures.palette import LOOKS

SYMBOLS = {
    "circle": "●", "square": "■", "diamond": "◆", "triangle-up": "▲", "triangle-down": "▼", "x": "✖", "pentagon": "⬟",
}  # fmt: skip
"""Characters that look like the figures' symbols."""

UNKNOWN_ERRORS = "No error is known: run rankline explore MODEL --errors on the trained model."

BUTTONS = [["toImage", "zoom2d", "pan2d", "resetScale2d"]]


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], label: str, key: str = "") -> html.Div:
    """A table that scrolls sideways in a narrow window; numbers are right-aligned.

    label: its name for screen readers; key: its id.
    """
    body = [list(row) for row in rows]
    right = [all(_is_figure(row[j]) for row in body) and bool(body) for j in range(len(columns))]
    head = html.Tr([html.Th(column, className=_side(right[j])) for j, column in enumerate(columns)])
    lines = [html.Tr([html.Td(_cell(value), className=_side(right[j])) for j, value in enumerate(row)]) for row in body]
    shown = html.Table([html.Thead(head), html.Tbody(lines)])
    named: dict[str, Any] = {"role": "region", "aria-label": label, **({"id": key} if key else {})}
    return html.Div(shown, className="wide", tabIndex=0, **named)


def method_name(method: str) -> html.Span:
    """A method's name; ``method_style`` puts its symbol in front."""
    return html.Span(method, className=f"method-{method}")


def method_style() -> str:
    """A style sheet with each method's symbol in its colour, as in the figures."""
    return "".join(
        f'.method-{name}::before {{ content: "{SYMBOLS[style.symbol]} "; color: {style.colour}; }}\n'
        f'#methods label:has(input[value="{name}"])::after {{ content: " {SYMBOLS[style.symbol]}"; '
        f"color: {style.colour}; }}\n"
        for name, style in LOOKS.items()
    )


def graph(figure: go.Figure | None, height: int | None = None, **properties: Any) -> dcc.Graph:
    """A figure as wide as its place; ``height`` in pixels is used without a figure."""
    high = height if figure is None else figure.layout.height
    config: Any = {"displaylogo": False, "responsive": True, "modeBarButtons": BUTTONS}
    given: dict[str, Any] = {} if figure is None else {"figure": figure}
    return dcc.Graph(config=config, className="plot", responsive=True, style={"height": high}, **given, **properties)


def hint(text: str) -> html.P:
    """A line that says why there is nothing to see, and what to do."""
    return html.P(text, className="hint")


def link(text: str, path: str, **query: Any) -> dcc.Link:
    """A link to a page of the explorer."""
    return dcc.Link(text, href=f"{path}?{urlencode(query)}" if query else path)


def figures_of(solution: Solution, precision: str = F32.name) -> html.Div:
    """The cost of a configuration next to the original layer's, both with memory at a precision, and its error if
    known."""
    timed = {} if solution.latency is None else {LATENCY.title: LATENCY}
    rows = cost_rows(counted_at(precision) | timed, solution.original, solution.cost)
    shown = table(["", "original", "now", "change"], rows, "costs of the configuration")
    return html.Div([shown, html.P(error_text(solution))])


def counted_at(precision: str) -> dict[str, Metric]:
    """The metrics of a table of costs by their titles, with memory at a precision."""
    memory = AXES["memory_bytes"].at(precision)
    return {"params": PARAMS, "feature maps (elements)": FM, "FLOPs": FLOPS, memory.title: memory.metric}


def cost_rows(metrics: Mapping[str, Metric], before: Cost, after: Cost) -> list[list[Any]]:
    """For each metric its title, the value before and after, and the change; a dash where it isn't known."""
    rows: list[list[Any]] = []
    for title, one in metrics.items():
        was, now = one.of(before), one.of(after) if one.is_known(after) else None
        saved = None if now is None or not was else 1 - now / was
        told = MISSING if now is None else one.text(now)
        rows.append([one.titled(title, before), one.text(was), told, change(saved)])
    return rows


def error_text(solution: Solution) -> str:
    """The error, what it is of, and how certain it is; if unknown, what to run."""
    if solution.error is None:
        return UNKNOWN_ERRORS
    sure = {"exact": "exactly", "bound": "at most", "estimate": "about"}[solution.certainty or "estimate"]
    spread = spread_text(solution.error_low, solution.error_high) if sure == "about" else ""
    return f"The relative error of its {solution.error_of} is {sure} {percent(solution.error)}{spread}."


def _cell(value: Any) -> Any:
    if value is None:
        return MISSING
    return count(value) if isinstance(value, int) else value


def _is_figure(value: Any) -> bool:
    if value is None or isinstance(value, int):
        return True
    return isinstance(value, str) and (value == MISSING or value.lstrip("+−-")[:1].isdigit())


def _side(right: bool) -> str:
    return "n" if right else ""
