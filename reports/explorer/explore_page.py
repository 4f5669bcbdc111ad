"""The page of one layer: windows, the cloud, a configuration looked at closely, and the basket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update

from db.database import Database
from dse.errors import one_of
from reports.clouds import drawn_front
from reports.explorer import basket_part
from reports.explorer.answers import WHOLE, MethodAnswer, Question, answers, cloud
from reports.explorer.configurations import as_text, solution_of
from reports.explorer.parts import UNKNOWN_ERRORS, chain, figures_of, graph, method_name, table, told
from reports.figures.solution_cloud import AGAINST
from reports.numbers import MISSING, count, percent, si

TITLE = "Layers"

WINDOWS = {"params": "params", "flops": "FLOPs", "memory": "memory"}
SETS = {"useful": "useful", "better": "better than the original", "all": "all"}
HEIGHT = 460
"""Of the cloud, in pixels."""

MARKS = {place: f"{place}" for place in range(0, WHOLE + 1, 25)}


def layout(database: Database, query: Mapping[str, str]) -> Any:
    """The page; ``query`` may name a ``network`` and a ``layer``. Raises UserError for unknown ones."""
    networks = [row["name"] for row in database.networks()]
    if not networks:
        return html.Div([html.H1(TITLE), told("The database has no network yet. Add one with: rankline explore MODEL")])
    network = query.get("network", networks[0])
    if network not in networks:
        raise one_of("network", network, networks)
    layers = _layers(database, network)
    layer = query.get("layer")
    if layer is not None and layer not in layers:
        raise one_of(f"layer with configurations of '{network}'", layer, layers)
    controls = [
        _labelled("network", dcc.Dropdown(networks, network, id="network", clearable=False)),
        _labelled("layer", dcc.Dropdown(layers, layer or _largest(database, network), id="layer", clearable=False)),
        html.P(id="layer-facts", className="soft"),
        _labelled("methods", dcc.Checklist([], [], id="methods", inline=True)),
        _labelled("configurations", dcc.RadioItems(SETS, "useful", id="within", inline=True)),
        _labelled("FLOPs against", dcc.RadioItems(AGAINST, "params", id="against", inline=True)),
        *(_window(metric, name) for metric, name in WINDOWS.items()),
        html.Div(
            [
                html.Label("largest relative error (%)", htmlFor="error"),
                html.Span(id="error-text", className="soft"),
                dcc.Slider(0, WHOLE, 1, value=WHOLE, marks=MARKS, id="error", allow_direct_input=False),
            ],
            className="window",
        ),
    ]
    shown = [
        html.Div(id="counts"),
        graph(None, HEIGHT, id="cloud"),
        html.P("A click on a point, or on a configuration in the table, shows it below.", className="soft"),
        html.Details([html.Summary("Error against params"), html.Div(id="front")], id="front-part", className="soft"),
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


def register(app: Dash, database: Database) -> None:
    """The page's callbacks."""
    basket_part.register(app, database)

    @app.callback(
        Output("layer", "options"), Output("layer", "value"), Input("network", "value"), State("layer", "value")
    )
    def change_network(network: str, layer: str | None) -> tuple[list[str], Any]:
        layers = _layers(database, network)
        return layers, layer if layer in layers else _largest(database, network)

    @app.callback(
        Output("methods", "options"),
        Output("methods", "value"),
        Output("layer-facts", "children"),
        Output("error", "disabled"),
        Output("inspected", "data"),
        Input("layer", "value"),
        State("network", "value"),
    )
    def change_layer(layer: str | None, network: str) -> tuple[Any, ...]:
        if layer is None:
            return [], [], _why_none(database, network), True, None
        methods = [row["method"] for row in database.spaces(network) if row["layer"] == layer]
        known = any(database.solutions(layer, method, network).errors is not None for method in methods)
        return (
            methods,
            methods,
            _facts(database, network, layer, known),
            not known,
            None,
        )

    windows = [Input(f"kept-{metric}", "value") for metric in WINDOWS]

    @app.callback(
        Output("counts", "children"),
        Output("cloud", "figure"),
        *(Output(f"kept-{metric}-text", "children") for metric in WINDOWS),
        Output("error-text", "children"),
        Input("methods", "value"),
        Input("within", "value"),
        Input("against", "value"),
        Input("error", "value"),
        Input("inspected", "data"),
        *windows,
        State("network", "value"),
        State("layer", "value"),
    )
    def answer(methods: list[str], within: str, against: str, error: float, inspected: Any, *more: Any) -> Any:
        *kept, network, layer = more
        if layer is None:
            return (no_update,) * (3 + len(WINDOWS))
        chosen = dict(zip(WINDOWS, kept, strict=True))
        question = Question(network, layer, tuple(methods or ()), within, chosen, error, against)
        found = answers(database, question)
        marked = solution_of(database, network, layer, inspected) if inspected else None
        figure = cloud(database, question, found, marked)
        figure.update_layout(uirevision=f"{network}/{layer}/{against}", height=HEIGHT)
        texts = [_range_text(pair) for pair in kept]
        return _counts(found, within), figure, *texts, "any" if error >= WHOLE else f"up to {error:g} %"

    @app.callback(
        Output("front", "children"),
        Input("methods", "value"),
        Input("within", "value"),
        State("network", "value"),
        State("layer", "value"),
    )
    def show_front(methods: list[str], within: str, network: str, layer: str | None) -> Any:
        if layer is None:
            return None
        (row,) = [row for row in database.layers(network) if row["name"] == layer]
        spaces = [database.solutions(layer, method, network).within(within) for method in methods or ()]
        drawn = drawn_front(row, spaces)
        return told(UNKNOWN_ERRORS) if drawn is None else graph(drawn.figure)

    @app.callback(
        Output("inspected", "data", allow_duplicate=True),
        Input("cloud", "clickData"),
        Input({"type": "pick", "as": ALL, "configuration": ALL}, "n_clicks"),
        prevent_initial_call=True,
    )
    def inspect(click: Any, presses: list[int | None]) -> Any:
        if isinstance(ctx.triggered_id, Mapping):
            return ctx.triggered_id["configuration"] if any(presses) else no_update
        point = click["points"][0] if click else {}
        return point["customdata"][0] if point.get("customdata") else no_update

    @app.callback(
        Output("inspector", "children"),
        Input("inspected", "data"),
        State("network", "value"),
        State("layer", "value"),
    )
    def look_closely(inspected: str | None, network: str, layer: str | None) -> Any:
        if not inspected or layer is None:
            return None
        solution = solution_of(database, network, layer, inspected)
        (shape,) = [one for one in database.layer_shapes(network) if one.name == layer]
        return [
            html.H2(f"{layer} by {inspected}"),
            figures_of(solution),
            chain(shape, solution),
            html.Button("Put into the basket", id={"type": "put", "configuration": inspected}, className="main"),
        ]


def _layers(database: Database, network: str) -> list[str]:
    """The layers that have spaces, in their order."""
    return list(dict.fromkeys(row["layer"] for row in database.spaces(network)))


def _largest(database: Database, network: str) -> str | None:
    """Of them, the layer with the most params."""
    params = {row["name"]: row["params"] or 0 for row in database.layers(network)}
    return max(_layers(database, network), key=lambda name: params[name], default=None)


def _why_none(database: Database, network: str) -> str:
    reasons = [f"{row['name']}: {row['kept_because']}" for row in database.layers(network) if row["kept_because"]]
    return f"No layer of {network} has configurations. {'; '.join(reasons[:5])}"


def _facts(database: Database, network: str, layer: str, known: bool) -> str:
    (row,) = [row for row in database.layers(network) if row["name"] == layer]
    costs = f"{si(row['params'])} params, {si(row['flops'])} FLOPs, {si(row['fm'])} feature-map elements"
    return costs if known else f"{costs}. {UNKNOWN_ERRORS}"


def _labelled(text: str, control: Any) -> html.Div:
    return html.Div([html.Label(text, htmlFor=control.id), control], className="labelled")


def _window(metric: str, name: str) -> html.Div:
    return html.Div(
        [
            html.Label(f"{name} kept (% of the layer's)", htmlFor=f"kept-{metric}"),
            html.Span(id=f"kept-{metric}-text", className="soft"),
            dcc.RangeSlider(0, WHOLE, 1, value=[0, WHOLE], marks=MARKS, id=f"kept-{metric}", allow_direct_input=False),
        ],
        className="window",
    )


def _range_text(pair: Sequence[float]) -> str:
    low, high = pair
    if high >= WHOLE:
        return f"from {low:g} %" if low else "any"
    return f"{low:g} to {high:g} %" if low else f"up to {high:g} %"


def _counts(found: Sequence[MethodAnswer], within: str) -> Any:
    if not found:
        return told("No method is chosen.")
    roles = ["fewest FLOPs", "most FLOPs", *(["least error"] if any(one.errors_known for one in found) else [])]
    rows = [
        [
            method_name(one.method),
            count(one.count),
            count(one.whole),
            *(_pick(one, role) for role in roles),
        ]
        for one in found
    ]
    total = sum(one.count for one in found)
    columns = ["method", "in the windows", f"{within} in all", *roles]
    head = html.P([html.B(count(total)), " configurations meet the windows"], id="total")
    return [head, table(columns, rows)]


def _pick(one: MethodAnswer, role: str) -> Any:
    solution = one.picks.get(role)
    if solution is None:
        return MISSING
    text = as_text(solution)
    value = percent(solution.error) if role == "least error" else f"{si(solution.flops)}"
    name = {"type": "pick", "as": role, "configuration": text}
    return html.Button([text.split(" ", 1)[1], html.Small(value)], id=name, className="pick")
