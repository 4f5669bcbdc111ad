"""The page of a network: where its params and FLOPs are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import Dash, html

from rankline.src.db.database import Database
from rankline.src.dse.network_cost import uncounted, uncounted_sentence
from rankline.src.dse.numbers import si
from rankline.src.reports.explorer.parts import graph, hint, link, table
from rankline.src.reports.report.content import drawn_costs

TITLE = "Networks"


def layout(database: Database, query: Mapping[str, str]) -> Any:
    """All networks, and the layers of the one that ``query`` may name. Raises UserError for an unknown one."""
    networks = database.networks()
    if not networks:
        return html.Div([html.H1(TITLE), hint("The database has no network yet. Add one with: rankline explore MODEL")])
    columns = ["network", "layers", "params", "FLOPs", "source"]
    rows = [
        [
            link(row.name, "/network", network=row.name),
            row.layers,
            si(row.params),
            si(row.flops) if row.is_whole else f"at least {si(row.flops)}",
            row.source,
        ]
        for row in networks
    ]
    parts: list[Any] = [html.H1(TITLE), table(columns, rows, "networks")]
    name = query.get("network", networks[0].name if len(networks) == 1 else None)
    return html.Div([*parts, *(_layers(database, name) if name else [])])


def register(app: Dash, database: Database) -> None:
    """Does nothing: the page is made anew for each address."""


def _layers(database: Database, name: str) -> list[Any]:
    network, layers = database.network(name), database.layers(name)
    spaces: dict[str, int] = {}
    for space in database.spaces(name):
        spaces[space.layer] = spaces.get(space.layer, 0) + space.n_total
    rows = [
        [
            link(row.name, "/", network=name, layer=row.name) if row.name in spaces else row.name,
            row.kind,
            row.params,
            row.fm,
            row.flops,
            spaces.get(row.name),
            row.kept_because or "",
        ]
        for row in layers
    ]
    columns = ["layer", "kind", "params", "feature maps (elements)", "FLOPs", "configurations", "kept because"]
    costs = drawn_costs(layers)
    figure = [] if costs is None else [html.P(costs.label, className="soft"), graph(costs.figure)]
    unknown = uncounted(row.shape for row in layers)
    note = [html.P(f"At least: {uncounted_sentence(unknown)}.", className="soft")] if unknown else []
    return [html.H2(network.name), *figure, *note, table(columns, rows, f"layers of {name}")]
