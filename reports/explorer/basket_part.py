"""The basket on the page: one configuration a layer, the network's totals, and the plan to take away."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update

from db.database import Database
from reports.explorer.basket import Basket, basket_of, with_choice
from reports.explorer.configurations import as_text
from reports.explorer.parts import table
from reports.numbers import change, count


def layout() -> html.Section:
    """Where the basket of the chosen network is shown."""
    return html.Section([html.Div(id="basket-shown"), dcc.Download(id="plan")], className="basket")


def register(app: Dash, database: Database) -> None:
    """Its callbacks."""

    @app.callback(
        Output("basket", "data"),
        Input({"type": "put", "configuration": ALL}, "n_clicks"),
        Input({"type": "remove", "layer": ALL}, "n_clicks"),
        State("basket", "data"),
        State("network", "value"),
        State("layer", "value"),
        prevent_initial_call=True,
    )
    def change_basket(puts: list[int | None], removals: list[int | None], kept: Any, network: str, layer: str) -> Any:
        if not any([*puts, *removals]) or not isinstance(ctx.triggered_id, Mapping):
            return no_update
        if ctx.triggered_id["type"] == "put":
            return with_choice(kept, network, layer, ctx.triggered_id["configuration"])
        return with_choice(kept, network, ctx.triggered_id["layer"], None)

    @app.callback(Output("basket-shown", "children"), Input("basket", "data"), Input("network", "value"))
    def show_basket(kept: Any, network: str) -> Any:
        return _shown(basket_of(database, network, kept))

    @app.callback(
        Output("plan", "data"),
        Input({"type": "export", "network": ALL}, "n_clicks"),
        State("basket", "data"),
        State("network", "value"),
        prevent_initial_call=True,
    )
    def export(presses: list[int | None], kept: Any, network: str) -> Any:
        if not any(presses):
            return no_update
        name = re.sub(r"[^\w.-]+", "-", network).strip("-.") or "network"
        return {"content": basket_of(database, network, kept).plan(), "filename": f"{name}-plan.json"}


def _shown(basket: Basket) -> list[Any]:
    head = html.H2(f"Basket of {basket.network}")
    if not basket.choices:
        return [head, html.P("Empty. Choose a configuration and put it here, one for each layer.", className="soft")]
    rows = [
        [
            layer,
            as_text(one),
            change(one.reduction("params")),
            change(one.reduction("flops")),
            html.Button("✕", id={"type": "remove", "layer": layer}, title=f"take out {layer}", className="pick"),
        ]
        for layer, one in basket.choices.items()
    ]
    before, after = basket.before, basket.after
    totals = [
        (name, was, now)
        for name, was, now in (
            ("params", before.params, after.params),
            ("feature maps (elements)", before.fm, after.fm),
            ("FLOPs", before.flops, after.flops),
            ("memory (bytes)", before.memory(), after.memory()),
        )
    ]
    return [
        head,
        table(["layer", "configuration", "params", "FLOPs", ""], rows),
        html.H3("The whole network with it"),
        table(
            ["", "original", "now", "change"],
            [[name, count(was), count(now), change(1 - now / was) if was else None] for name, was, now in totals],
            name="totals",
        ),
        html.Button("Export the plan", id={"type": "export", "network": basket.network}, className="main"),
        html.P("Carry it out with: rankline factorize MODEL --plan FILE --out SMALL.keras", className="soft"),
    ]
