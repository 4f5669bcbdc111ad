"""The choice of a device on the page, and of what only a device tells: an axis, windows, and a cost of the front."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, dcc, html, no_update

from rankline.src.db.database import Database
from rankline.src.dse.devices.device import Device
from rankline.src.dse.metric import METRICS
from rankline.src.dse.numbers import percent
from rankline.src.reports.explorer.controls import group, picker, window
from rankline.src.reports.explorer.devices import NONE, device_named
from rankline.src.reports.explorer.messages import ExplorerDash
from rankline.src.reports.figures.axis import AXES
from rankline.src.reports.figures.solution_cloud import AGAINST

COSTS = ("params", "latency_ps")
"""Those of AXES that the front can be against."""


def device_picker(database: Database, device: Device | None) -> html.Div:
    """The choice among the database's devices, hidden where there is none."""
    names = [one.name for one in database.devices()]
    options = [{"label": "none", "value": NONE}, *({"label": name, "value": name} for name in names)]
    chosen = NONE if device is None else device.name
    facts = html.P(_facts(device), id="device-facts", className="soft")
    return html.Div([picker("device", options, chosen, "device"), facts], hidden=not names)


def against(device: Device | None) -> html.Fieldset:
    """The choice of what FLOPs are drawn against."""
    return group("FLOPs against", dcc.RadioItems(_titles(AGAINST, device), "params", id="against", inline=True))


def timed_windows(device: Device | None) -> html.Div:
    """The windows on what only a device tells, hidden without one."""
    asked = [(name, one) for name, one in METRICS.items() if one.needs_device]
    windows = [window(f"{one.title} kept (% of the layer)", f"kept-{name}") for name, one in asked]
    return html.Div(windows, id="timed-windows", hidden=device is None)


def front_cost(device: Device | None) -> html.Div:
    """The choice of what errors are drawn against, hidden without a device."""
    choice = group("error against", dcc.RadioItems(_titles(COSTS, device), "params", id="front-cost", inline=True))
    return html.Div(choice, id="front-costs", hidden=device is None)


def register(app: ExplorerDash, database: Database) -> None:
    """The callback of the choice."""

    @app.callback(
        Output("device-facts", "children"),
        Output("timed-windows", "hidden"),
        Output("front-costs", "hidden"),
        Output("against", "options"),
        Output("front-cost", "options"),
        Output("against", "value"),
        Output("front-cost", "value"),
        Input("device", "value"),
        State("against", "value"),
        State("front-cost", "value"),
        prevent_initial_call=True,
    )
    def change_device(name: Any, *axes: Any) -> tuple[Any, ...]:
        device = device_named(database, name)
        options = [_titles(some, device) for some in (AGAINST, COSTS)]
        values = [no_update if one in list(some) else "params" for one, some in zip(axes, options, strict=True)]
        return _facts(device), device is None, device is None, *options, *values


def _titles(axes: tuple[str, ...], device: Device | None) -> dict[str, str]:
    """Axes with their titles; those of a device's times only where there is one."""
    return {one: AXES[one].title for one in axes if device is not None or not AXES[one].metric.needs_device}


def _facts(device: Device | None) -> str | None:
    """How the device runs, and how well its numbers predict."""
    if device is None:
        return None
    within = f"half within {percent(device.fit.median)}, 90 % within {percent(device.fit.p90)}"
    return f"{device.title}; predicts {within}"
