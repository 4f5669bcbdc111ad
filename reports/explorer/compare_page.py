"""Two runs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import Dash, Input, Output, dcc, html

from db.database import Database
from dse.errors import UserError
from reports.comparison import compared
from reports.explorer.parts import graph, table, told
from reports.explorer.runs_page import NONE, run_number
from reports.numbers import percent
from reports.outcome import outcome
from reports.run_figures import drawn_path

TITLE = "Compare"


def layout(database: Database, query: Mapping[str, str]) -> Any:
    """The two runs that ``query`` names as ``a`` and ``b``; the last two by default. Raises UserError."""
    runs = database.runs()
    if len(runs) < 2:
        few = NONE if not runs else "The database has one run only; two can be compared."
        return html.Div([html.H1(TITLE), told(few)])
    a, b = (run_number(database, query.get(key, str(runs[place]["id"]))) for key, place in (("a", -2), ("b", -1)))
    options = [{"label": f"run {row['id']}: {row['network']}, {row['status']}", "value": row["id"]} for row in runs]
    pickers = [
        html.Div([html.Label(f"{name} run", htmlFor=key), dcc.Dropdown(options, value, id=key, clearable=False)])
        for name, key, value in (("first", "run-a", a), ("second", "run-b", b))
    ]
    return html.Div([html.H1("Two runs side by side"), html.Div(pickers, className="two"), html.Div(id="compared")])


def register(app: Dash, database: Database) -> None:
    """The page's callbacks."""

    @app.callback(Output("compared", "children"), Input("run-a", "value"), Input("run-b", "value"))
    def compare(a: int, b: int) -> Any:
        try:
            found = compared(database, a, b)
        except UserError as error:
            return told(str(error))
        titles = [f"run {a}", f"run {b}"]
        parts: list[Any] = [html.Div([_path(database, number) for number in (a, b)], className="two")]
        for title, rows in (
            ("Their models", [*([name, *map(percent, some)] for name, *some in found.accuracies), *found.sizes]),
            ("Where their settings differ", found.settings),
            ("Each layer", found.layers),
        ):
            if rows:
                parts += [html.H2(title), table(["", *titles], rows)]
        return parts


def _path(database: Database, number: int) -> html.Div:
    (run,) = [row for row in database.runs() if row["id"] == number]
    layers = database.layers(run["network"])
    result = outcome(run, database.trials(number), database.network(run["network"]), layers)
    path = drawn_path(result)
    shown = told("No accuracy is known.") if path is None else graph(path.figure)
    return html.Div([html.H2(f"Run {number}"), shown])
