"""The page of one layer: windows, the cloud, a configuration in detail, and the basket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import ALL, Input, Output, State, dcc, html, no_update

from rankline.src.db.database import Database
from rankline.src.dse.devices.device import Device
from rankline.src.dse.errors import one_of
from rankline.src.dse.metric import MEMORY, METRICS, counted
from rankline.src.dse.numbers import si
from rankline.src.reports.explorer import basket_part, device_part
from rankline.src.reports.explorer.answer_table import answer_table
from rankline.src.reports.explorer.answers import WHOLE, Question, answers, cloud, layer_row, spaces
from rankline.src.reports.explorer.chain import chain
from rankline.src.reports.explorer.configurations import solution_of
from rankline.src.reports.explorer.controls import group, picker, range_text, window
from rankline.src.reports.explorer.devices import device_named
from rankline.src.reports.explorer.given import precision_named, pressed, text, texts
from rankline.src.reports.explorer.messages import ExplorerDash
from rankline.src.reports.explorer.parts import UNKNOWN_ERRORS, figures_of, graph, hint
from rankline.src.reports.explorer.precision_part import memory_range, precision_choice
from rankline.src.reports.figures.axis import AXES
from rankline.src.reports.report.clouds import drawn_front

TITLE = "Layers"

SETS = {"useful": "useful", "better": "better than the original", "all": "all"}
HEIGHT = 460
"""The height of the cloud, in pixels."""


def layout(database: Database, query: Mapping[str, str]) -> Any:
    """The page; ``query`` may name a ``network``, a ``layer``, a ``device`` and a ``precision``. Raises UserError for
    unknown ones."""
    networks = [row.name for row in database.networks()]
    if not networks:
        return html.Div([html.H1(TITLE), hint("The database has no network yet. Add one with: rankline explore MODEL")])
    network = query.get("network", networks[0])
    if network not in networks:
        raise one_of("network", network, networks)
    layers = _layers(database, network)
    layer = query.get("layer")
    if layer is not None and layer not in layers:
        raise one_of(f"layer with configurations of '{network}'", layer, layers)
    layer = layer or _largest(database, network)
    methods, facts, known = _known_of(database, network, layer)
    device = device_named(database, query.get("device"))
    precision = precision_named(query.get("precision"))
    controls = [
        picker("network", networks, network, "network"),
        picker("layer", layers, layer, "layer"),
        html.P(facts, id="layer-facts", className="soft"),
        device_part.device_picker(database, device),
        group("methods", dcc.Checklist(methods, methods, id="methods", inline=True)),
        group("configurations", dcc.RadioItems(SETS, "useful", id="within", inline=True)),
        device_part.against(device),
        precision_choice(precision),
        *(window(f"{one.title} kept (% of the layer)", f"kept-{name}") for name, one in counted().items()),
        device_part.timed_windows(device),
        window("largest relative error (%)", "error", whole=True, disabled=not known),
    ]
    shown = [
        html.Div(id="counts"),
        html.Div(
            [
                graph(None, HEIGHT, id="cloud"),
                html.P("A click on a point, or on a configuration in the table, shows it below.", className="soft"),
                html.Details(
                    [
                        html.Summary("Error against params", id="front-summary"),
                        device_part.front_cost(device),
                        html.Div(id="front"),
                    ],
                    className="soft",
                ),
            ],
            id="figures",
            hidden=layer is None,
        ),
        dcc.Store(id="address"),
        dcc.Store(id="inspected"),
        html.Section(id="inspector"),
    ]
    return html.Div(
        [
            html.H1("Layers", className="unseen"),
            html.Section(controls, className="controls"),
            html.Section(shown, className="shown"),
            basket_part.layout(),
        ],
        className="explore",
    )


def register(app: ExplorerDash, database: Database) -> None:
    """The page's callbacks."""
    basket_part.register(app, database)
    device_part.register(app, database)
    picked = [Input(one, "value") for one in ("network", "layer", "device", "precision")]
    app.in_browser("layer", Output("address", "data"), *picked)

    @app.callback(
        Output("layer", "options"),
        Output("layer", "value"),
        Input("network", "value"),
        State("layer", "value"),
        prevent_initial_call=True,
    )
    def change_network(network: Any, layer: Any) -> tuple[list[str], Any]:
        layers = _layers(database, text("network", network))
        return layers, layer if layer in layers else _largest(database, network)

    @app.callback(
        Output("methods", "options"),
        Output("methods", "value"),
        Output("layer-facts", "children"),
        Output("error", "disabled"),
        Output("error", "value"),
        Output("inspected", "data"),
        Output("figures", "hidden"),
        Input("layer", "value"),
        State("network", "value"),
        prevent_initial_call=True,
    )
    def change_layer(layer: Any, network: Any) -> tuple[Any, ...]:
        layer = None if layer is None else text("layer", layer)
        methods, facts, known = _known_of(database, text("network", network), layer)
        limit = no_update if known else WHOLE  # without a limit if errors are unknown
        return methods, methods, facts, not known, limit, None, layer is None

    names = tuple(METRICS)
    windows = [Input(f"kept-{name}", "value") for name in names]

    @app.callback(
        Output("counts", "children"),
        Output("cloud", "figure"),
        *(Output(f"kept-{name}-text", "children") for name in names),
        Output("error-text", "children"),
        Input("methods", "value"),
        Input("within", "value"),
        Input("against", "value"),
        Input("error", "value"),
        Input("inspected", "data"),
        Input("device", "value"),
        Input("precision", "value"),
        *windows,
        State("network", "value"),
        State("layer", "value"),
    )
    def answer(methods: list[str], within: str, against: str, error: float, inspected: Any, *more: Any) -> Any:
        name, precision, *kept, network, layer = more
        if layer is None:
            return hint(_why_none(database, text("network", network))), *(no_update for _ in range(len(names) + 2))
        device, precision = device_named(database, name), precision_named(precision)
        asked = METRICS if device is not None else counted()
        chosen = {one: pair for one, pair in zip(names, kept, strict=True) if one in asked}
        methods_asked = texts("method", methods or ())
        question = Question(network, layer, methods_asked, within, chosen, error, against, name, precision)
        found = answers(database, question)
        marked = solution_of(database, network, layer, inspected, device, precision) if inspected else None
        figure = cloud(database, question, found, marked)
        revision = network, layer, against, name, precision
        layout = {**figure["layout"], "uirevision": "/".join(map(str, revision)), "height": HEIGHT}
        whole = layer_row(database, network, layer).cost
        ranges = [range_text(*chosen[one]) if one in chosen else no_update for one in names]
        ranges[names.index(MEMORY.name)] = memory_range(chosen[MEMORY.name], whole, precision)
        return answer_table(found, question), {**figure, "layout": layout}, *ranges, range_text(0, error)

    @app.callback(
        Output("front", "children"),
        Output("front-summary", "children"),
        Input("front-summary", "n_clicks"),
        Input("methods", "value"),
        Input("within", "value"),
        Input("device", "value"),
        Input("front-cost", "value"),
        State("network", "value"),
        State("layer", "value"),
    )
    def show_front(clicks: Any, methods: list[str], within: str, name: Any, cost: Any, *place: Any) -> tuple[Any, str]:
        network, layer = place
        if cost is not None and text("cost", cost) not in device_part.COSTS:
            raise one_of("cost", cost, list(device_part.COSTS))
        cost = cost or "params"
        summary = f"Error against {AXES[cost].metric.title}"
        is_open = isinstance(clicks, int) and clicks % 2 == 1
        if layer is None or not is_open:
            return None, summary
        question = Question(network, layer, texts("method", methods or ()), within, against=cost, device=name)
        found = spaces(database, question)
        drawn = drawn_front(layer_row(database, network, layer), [one for one, why in found if not why], cost)
        left_out = next((why for _, why in found if why), "") if drawn is None else ""
        return hint(left_out or UNKNOWN_ERRORS) if drawn is None else graph(drawn.figure), summary

    @app.callback(
        Output("inspected", "data", allow_duplicate=True),
        Input("cloud", "clickData"),
        Input({"type": "pick", "as": ALL, "configuration": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    def inspect(click: Any, presses: Any) -> Any:
        match pressed(), click:
            case {"configuration": str(configuration)}, _:
                return configuration
            case "cloud", {"points": [{"customdata": [str(configuration), *_]}, *_]}:
                return configuration
        return no_update

    @app.callback(
        Output("inspector", "children"),
        Input("inspected", "data"),
        Input("device", "value"),
        Input("precision", "value"),
        State("network", "value"),
        State("layer", "value"),
    )
    def look_closely(inspected: Any, name: Any, precision: Any, network: Any, layer: Any) -> Any:
        if not inspected or layer is None:
            return None
        layer, network = text("layer", layer), text("network", network)
        device, precision = device_named(database, name), precision_named(precision)
        solution = solution_of(database, network, layer, inspected, device, precision)
        (shape,) = [one for one in database.layer_shapes(network) if one.name == layer]
        put = {"type": "put", "network": network, "layer": layer, "configuration": inspected}
        return [
            html.H2(f"{layer} by {inspected}"),
            figures_of(solution, precision),
            *([hint(_untimed(device))] if device is not None and solution.latency is None else []),
            chain(shape, solution),
            html.Button("Put into the basket", id=put, className="main"),
        ]


def _untimed(device: Device) -> str:
    return f"{device.name} has no numbers for this configuration, or for the layer as it is."


def _layers(database: Database, network: str) -> list[str]:
    """The layers that have spaces, in the network's order."""
    return list(dict.fromkeys(row.layer for row in database.spaces(network)))


def _largest(database: Database, network: str) -> str | None:
    """The layer with the most params among them."""
    params = {row.name: row.cost.params for row in database.layers(network)}
    return max(_layers(database, network), key=lambda name: params[name], default=None)


def _why_none(database: Database, network: str) -> str:
    reasons = [f"{row.name}: {row.kept_because}" for row in database.layers(network) if row.kept_because]
    return f"No layer of {network} has configurations. {'; '.join(reasons[:5])}"


def _known_of(database: Database, network: str, layer: str | None) -> tuple[list[str], str | None, bool]:
    """The methods of a layer, its costs in words, and whether any error is known."""
    if layer is None:
        return [], None, False
    methods = [row.method for row in database.spaces(network) if row.layer == layer]
    known = any(database.solutions(layer, method, network).errors is not None for method in methods)
    row = layer_row(database, network, layer)
    costs = f"{si(row.cost.params)} params, {si(row.cost.flops)} FLOPs, {si(row.cost.fm)} feature-map elements"
    return methods, costs if known else f"{costs}. {UNKNOWN_ERRORS}", known
