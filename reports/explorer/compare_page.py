"""Two runs side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import Input, Output, dcc, html

from rankline.src.db.database import Database
from rankline.src.dse.errors import UserError
from rankline.src.dse.numbers import percent
from rankline.src.reports.explorer.controls import picker
from rankline.src.reports.explorer.messages import ExplorerDash
from rankline.src.reports.explorer.parts import graph, hint, table
from rankline.src.reports.explorer.runs_page import NONE, run_number
from rankline.src.reports.report.comparison import compared
from rankline.src.reports.report.outcome import outcome
from rankline.src.reports.report.run_figures import drawn_path

TITLE = "Compare"


def layout(database: Database, query: Mapping[str, str]) -> Any:
    """The two runs that ``query`` names as ``a`` and ``b``; the last two by default. Raises UserError."""
    runs = database.runs()
    if len(runs) < 2:
        few = NONE if not runs else "The database has one run only; two can be compared."
        return html.Div([html.H1(TITLE), hint(few)])
    a, b = (run_number(database, query.get(key, str(runs[place].id))) for key, place in (("a", -2), ("b", -1)))
    options = [{"label": f"run {row.id}: {row.network}, {row.status}", "value": row.id} for row in runs]
    pickers = [picker("first run", options, a, "run-a"), picker("second run", options, b, "run-b")]
    shown = [html.Div(pickers, className="two"), dcc.Store(id="compared-address"), html.Div(id="compared")]
    return html.Div([html.H1("Two runs side by side"), *shown])


def register(app: ExplorerDash, database: Database) -> None:
    """The page's callbacks."""

    app.in_browser("runs", Output("compared-address", "data"), Input("run-a", "value"), Input("run-b", "value"))

    @app.callback(Output("compared", "children"), Input("run-a", "value"), Input("run-b", "value"))
    def compare(given_a: Any, given_b: Any) -> Any:
        a, b = run_number(database, given_a), run_number(database, given_b)
        try:
            found = compared(database, a, b)
        except UserError as error:
            return hint(str(error))
        titles = [f"run {a}", f"run {b}"]
        parts: list[Any] = [html.Div([_path(database, number) for number in (a, b)], className="two")]
        for title, rows in (
            (
                "Their models",
                [*([name, *map(percent, some)] for name, *some in found.accuracies), *found.scores, *found.sizes],
            ),
            ("Where their settings differ", found.settings),
            ("Each layer", found.layers),
        ):
            if rows:
                parts += [html.H2(title), table(["", *titles], rows, title)]
        return parts


def _path(database: Database, number: int) -> html.Div:
    (run,) = [row for row in database.runs() if row.id == number]
    layers = database.layers(run.network)
    result = outcome(run, database.trials(number), database.network(run.network), layers)
    path = drawn_path(result)
    shown = hint("No accuracy is known.") if path is None else graph(path.figure)
    return html.Div([html.H2(f"Run {number}"), shown])
