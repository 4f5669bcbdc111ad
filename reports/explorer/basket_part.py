"""The basket on the page: one configuration per layer, the network's totals, and the plan to download."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from dash import ALL, Dash, Input, Output, State, dcc, html, no_update

from rankline.src.db.database import Database
from rankline.src.dse.metric import LATENCY
from rankline.src.dse.numbers import change
from rankline.src.dse.precision import F32
from rankline.src.reports.explorer.basket import Basket, basket_of, emptied, with_choice
from rankline.src.reports.explorer.configurations import as_text
from rankline.src.reports.explorer.devices import device_named
from rankline.src.reports.explorer.given import precision_named, pressed, text
from rankline.src.reports.explorer.parts import cost_rows, counted_at, table
from rankline.src.reports.explorer.precision_part import WEIGHTS

CARRY_OUT = ("rankline factorize MODEL", "--plan FILE --out SMALL.keras")
"""The command that applies a plan, on two lines."""


def layout() -> html.Section:
    """The place of the chosen network's basket."""
    return html.Section([html.Div(id="basket-shown"), dcc.Download(id="plan")], className="basket")


def register(app: Dash, database: Database) -> None:
    """The basket's callbacks."""

    @app.callback(
        Output("basket", "data"),
        Input({"type": "put", "network": ALL, "layer": ALL, "configuration": ALL}, "n_clicks"),
        Input({"type": "remove", "network": ALL, "layer": ALL}, "n_clicks"),
        Input({"type": "empty", "network": ALL}, "n_clicks"),
        State("basket", "data"),
        prevent_initial_call=True,
    )
    def change_basket(puts: Any, removals: Any, empties: Any, kept: Any) -> Any:
        match pressed():
            case {"type": "put", "network": str(network), "layer": str(layer), "configuration": str(configuration)}:
                return with_choice(kept, network, layer, configuration)
            case {"type": "remove", "network": str(network), "layer": str(layer)}:
                return with_choice(kept, network, layer, None)
            case {"type": "empty", "network": str(network)}:
                return emptied(kept, network)
        return no_update

    @app.callback(
        Output("basket-shown", "children"),
        Input("basket", "data"),
        Input("network", "value"),
        Input("device", "value"),
        Input("precision", "value"),
    )
    def show_basket(kept: Any, network: Any, device: Any, precision: Any) -> Any:
        basket = basket_of(database, text("network", network), kept, device_named(database, device))
        return _shown(basket, precision_named(precision))

    @app.callback(
        Output("plan", "data"),
        Input({"type": "export", "network": ALL}, "n_clicks"),
        State("basket", "data"),
        prevent_initial_call=True,
    )
    def export(presses: Any, kept: Any) -> Any:
        match pressed():
            case {"network": str(network)}:
                name = re.sub(r"[^\w.-]+", "-", network).strip("-.") or "network"
                return {"content": basket_of(database, network, kept).plan(), "filename": f"{name}-plan.json"}
        return no_update


def _shown(basket: Basket, precision: str) -> list[Any]:
    head = html.H2(f"Basket of {basket.network}")
    if not basket.choices and not basket.refused:
        return [head, html.P("Empty. Choose a configuration and put it here, one for each layer.", className="soft")]
    columns = ["params", "FLOPs", *(["latency"] if basket.times else [])]
    rows: list[list[Any]] = []
    for layer, one in basket.choices.items():
        saved = [one.reduction("params"), one.reduction("flops"), *([basket.saved_time(layer)] if basket.times else [])]
        rows.append([_remove(basket, layer), layer, as_text(one), *map(change, saved)])
    for layer, why in basket.refused.items():
        rows.append([_remove(basket, layer), layer, f"left out: {why}", *[None for _ in columns]])
    return [
        head,
        table(["", "layer", "chosen" if basket.times else "configuration", *columns], rows, "basket"),
        html.Button("Empty the basket", id={"type": "empty", "network": basket.network}, className="pick"),
        *(_totals(basket, precision) if basket.choices else []),
    ]


def _remove(basket: Basket, layer: str) -> html.Button:
    key = {"type": "remove", "network": basket.network, "layer": layer}
    name = f"take out {layer}"
    spoken: Any = {"aria-label": name}
    return html.Button("✕", id=key, title=name, className="pick", **spoken)


def _totals(basket: Basket, precision: str = F32.name) -> list[Any]:
    rows, notes = cost_rows(counted_at(precision) | WEIGHTS, basket.before, basket.after), []
    if basket.device is not None and basket.times is not None:
        times, name = basket.times, basket.device.name
        before = replace(basket.before, latency=times.before, is_whole=not times.untold)
        rows += cost_rows({f"latency on {name}": LATENCY}, before, replace(before, latency=times.after))
        notes = [
            html.P(f"{name} has no numbers for {', '.join(some)}{so}.", className="soft")
            for some, so in ((times.untold, ": not in its latencies"), (times.unplanned, " as chosen"))
            if some
        ]
    return [
        html.H3("The whole network with it"),
        table(["", "original", "now", "change"], rows, "costs of the whole network", key="totals"),
        *notes,
        html.Button("Export the plan", id={"type": "export", "network": basket.network}, className="main"),
        html.P(["Carry it out with:", *(part for line in CARRY_OUT for part in (html.Br(), html.Code(line)))]),
    ]
