"""The controls of a page: pickers, choices and windows, each with a name for screen readers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import dcc, html

from rankline.src.reports.explorer.answers import WHOLE

MARKS = {place: f"{place}" for place in range(0, WHOLE + 1, 25)}


def picker(name: str, options: Sequence[Any], value: Any, key: str) -> html.Div:
    """A choice of one from a list that may be long."""
    label = html.Label(name, htmlFor=key, id=f"{key}-value-count")  # Dash's list takes its name from that id
    return html.Div([label, dcc.Dropdown(options, value, id=key, clearable=False)], className="labelled")


def group(name: str, choice: Any) -> html.Fieldset:
    """A few choices, all visible."""
    return html.Fieldset([html.Legend(name), choice], className="labelled")


def window(name: str, key: str, whole: bool = False, disabled: bool = False) -> html.Fieldset:
    """A range of percentages, or with ``whole`` an upper limit only. Its text is shown in ``key``-text."""
    slider: Any = dcc.Slider if whole else dcc.RangeSlider
    value = WHOLE if whole else [0, WHOLE]
    shown = slider(0, WHOLE, 1, value=value, marks=MARKS, id=key, allow_direct_input=False, disabled=disabled)
    return html.Fieldset([html.Legend(name), html.Span(id=f"{key}-text", className="soft"), shown], className="window")


def range_text(low: float, high: float) -> str:
    """A window in words: ``up to 40 %``."""
    if high >= WHOLE:
        return f"from {low:g} %" if low else "any"
    return f"{low:g} to {high:g} %" if low else f"up to {high:g} %"
