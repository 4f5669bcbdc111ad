"""The commands by their names, and running one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

import rankline
from rankline.cli import (
    bench,
    budget,
    compress,
    demo,
    deploy,
    device,
    explore,
    factorize,
    latency,
    maintain,
    measure,
    measuring,
    query,
    report,
    runs,
    serve,
    sql,
    study,
)
from rankline.cli.present.terminal import has_colours, leave_out_colours
from rankline.src.dse.outgoing import EXACT_CSV

ANYWHERE = ("--debug", "--no-color", "--exact-csv")
"""Options that are looked for before a command is."""

app = typer.Typer(
    name="rankline",
    help="Every low-rank factorization of a network's layers, in a database, and compression driven by it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("explore")(explore.explore)
app.command("layers")(explore.layers)
app.command("spaces")(explore.spaces)
app.command("zoo")(explore.zoo)
app.command("query")(query.query)
app.command("sql")(sql.sql)
app.command("pareto")(query.pareto)
app.command("export")(query.export)
app.command("compress")(compress.compress)
app.command("budget")(budget.budget)
app.command("factorize")(factorize.factorize)
app.command("latency")(latency.latency)
app.command("deploy")(deploy.deploy)
app.command("measure")(measure.measure)
app.command("report")(report.report)
app.command("serve")(serve.serve)
app.add_typer(study.app, name="study")
app.command("bench")(bench.bench)
app.add_typer(runs.app, name="runs")
app.add_typer(device.app, name="device")
device.app.command("add")(measuring.add)
device.app.command("bundle")(measuring.bundle)
app.add_typer(maintain.app, name="db")


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"rankline {rankline.__version__}")
        raise typer.Exit


@app.callback()
def common(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    no_color: bool = typer.Option(False, "--no-color", help="No colours, as with NO_COLOR in the environment."),
    exact_csv: bool = typer.Option(
        False, "--exact-csv", help="Texts in CSV as they are, also where a spreadsheet would run them as formulas."
    ),
    version: bool = typer.Option(False, "--version", help="Show the version.", callback=_show_version, is_eager=True),
) -> None:
    """Every low-rank factorization of a network's layers, in a database, and compression driven by it."""


def run(given: Sequence[str]) -> int:
    """Runs a command and returns its exit code; raises what ends it early."""
    if "--no-color" in given or not has_colours():
        leave_out_colours()
    if "--exact-csv" in given:
        os.environ[EXACT_CSV] = "1"
    try:
        app(args=[argument for argument in given if argument not in ANYWHERE], prog_name="rankline")
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):
            raise ended.__context__ from None
        sys.stdout.flush()  # while it can still be told that this failed
        return ended.code if isinstance(ended.code, int) else 0
    return 0
