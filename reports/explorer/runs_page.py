"""The page of all compression runs, and of one run; both follow runs in progress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import Dash, Input, Output, dcc, html

from rankline.src.db.database import Database
from rankline.src.db.records.measure import measure_of, tested
from rankline.src.db.records.runs import RUNNING, RunRow, TrialRecord
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.metric import FLOPS
from rankline.src.dse.numbers import change, percent, si
from rankline.src.reports.explorer.parts import graph, hint, link, table
from rankline.src.reports.report.deployed_files import deployed_files
from rankline.src.reports.report.outcome import outcome
from rankline.src.reports.report.run_figures import drawn_path, drawn_similarity

TITLE = "Runs"

LOOK_EVERY_MS = 2000

NONE = "The database has no run yet. Start one with: rankline compress MODEL --data DATA, or rankline budget MODEL"


def layout(database: Database, query: Mapping[str, str]) -> Any:
    """All runs, or the one that ``query`` names, with its trials. Raises UserError for an unknown one."""
    if "run" in query:
        number = run_number(database, query["run"])
        look = dcc.Interval(id="look", interval=LOOK_EVERY_MS)
        return html.Div([html.H1(f"Run {number}"), dcc.Store(id="run", data=number), look, html.Div(id="run-shown")])
    look = dcc.Interval(id="look-for-runs", interval=LOOK_EVERY_MS)
    return html.Div([html.H1(TITLE), look, html.Div(_runs(database), id="runs-shown")])


def register(app: Dash, database: Database) -> None:
    """The page's callbacks."""

    @app.callback(
        Output("run-shown", "children"),
        Output("look", "disabled"),
        Input("run", "data"),
        Input("look", "n_intervals"),
    )
    def show_run(number: Any, _: int | None) -> tuple[Any, bool]:
        known = run_number(database, number)
        (run,) = [row for row in database.runs() if row.id == known]
        return _shown(database, run), run.status != RUNNING

    @app.callback(Output("runs-shown", "children"), Input("look-for-runs", "n_intervals"), prevent_initial_call=True)
    def show_runs(_: Any) -> Any:
        return _runs(database)


def run_number(database: Database, given: Any) -> int:
    """The id of a run, given as text or number. Raises UserError if there is no such run."""
    text = str(given)[:60]
    known = [row.id for row in database.runs()]
    if not known:
        raise UserError(NONE)
    if text not in map(str, known):
        raise one_of("run", text, [str(one) for one in known])
    return int(text)


def _runs(database: Database) -> Any:
    """All runs, the last first."""
    runs = database.runs()
    if not runs:
        return hint(NONE)
    columns = ["run", "network", "started (UTC)", "status", "trials", "test accuracy", "objective"]
    rows = [
        [
            link(str(row.id), "/runs", run=row.id),
            row.network,
            str(row.started)[:19].replace("T", " "),
            row.status,
            row.trials,
            _tested(row),
            str(row.settings.get("objective", "")),
        ]
        for row in runs[::-1]
    ]
    return table(columns, rows, "runs")


def _tested(row: RunRow) -> str:
    """The accuracy of the written model on the test part; of another score its name and value."""
    measure, value = measure_of(row.settings), tested(row).after
    return measure.text(value) if measure.is_accuracy or value is None else f"{measure.name} {measure.text(value)}"


def _shown(database: Database, run: RunRow) -> list[Any]:
    trials = database.trials(run.id)
    network = database.network(run.network)
    result = outcome(run, trials, network, database.layers(run.network))
    best, measure = result.best, result.measure
    status = f"{run.network}, started {str(run.started)[:19].replace('T', ' ')} UTC, seed {run.seed}: "
    parts: list[Any] = [html.P([status, html.B(run.status)], id="status")]
    if run.status == RUNNING:
        parts.append(html.P("This page follows it; new trials appear by themselves.", className="soft"))
    if not trials:
        return [*parts, hint("It has no trial yet.")]
    rows = [
        [
            ("▸ " if best is not None and trial.number == best.number else "") + str(trial.number),
            trial.status,
            measure.text(measure.of(trial)),
            si(trial.cost.params),
            change(1 - trial.cost.params / network.cost.params),
            si(trial.cost.flops),
            change(1 - trial.cost.flops / network.cost.flops),
            f"{trial.seconds:.1f}",
        ]
        for trial in trials
    ]
    flops = FLOPS.titled("FLOPs", network.cost)
    columns = ["trial", "status", f"validation {measure.name}", "params", "change", flops, "change", "seconds"]
    parts.append(table(columns, rows, f"trials of run {run.id}", key="trials"))
    files = deployed_files(trials, database.measurements())
    if files is not None:
        shown = table([one.title for one in files.columns], files.texts(), f"files of run {run.id}", key="files")
        parts += [html.H2(files.title), shown, *(html.P(one, className="soft") for one in files.notes)]
    for drawn in (drawn_path(result), drawn_similarity(result)):
        if drawn is not None:
            figure = drawn.figure.update_layout(uirevision=drawn.name)
            parts += [html.H2(drawn.label), graph(figure)]
    if best is not None and best.layers:
        parts += [html.H2(f"The layers of trial {best.number}"), _layers(best)]
    return parts


def _layers(trial: TrialRecord) -> Any:
    rows = [
        [
            one.layer,
            one.method or "as it was",
            "×".join(map(str, one.ranks or ())),
            si(one.cost.params),
            si(one.cost.flops),
            percent(one.similarity) if one.method else None,
            percent(one.error) if one.method else None,
        ]
        for one in trial.layers
    ]
    columns = ["layer", "method", "ranks", "params", "FLOPs", "similarity", "error of weights"]
    return table(columns, rows, f"layers of trial {trial.number}")
