"""The command line: one verb a command, a table for people, ``--json`` for machines."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence

import typer

import rankline
from rankline.cli import (
    bench,
    budget,
    compress,
    demo,
    explore,
    factorize,
    maintain,
    query,
    report,
    runs,
    serve,
    sql,
    study,
)
from rankline.cli.present.terminal import has_colours, leave_out_colours, settle_streams
from rankline.src.dse.errors import UserError
from rankline.src.dse.outgoing import EXACT_CSV, for_terminal

INTERRUPTED = 130
"""The exit code after Ctrl-C."""

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
app.command("report")(report.report)
app.command("serve")(serve.serve)
app.command("study")(study.study)
app.command("bench")(bench.bench)
app.add_typer(runs.app, name="runs")
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command. Exit code 2 for a user's mistake, 1 for a failure, without a traceback unless ``--debug``.

    ``--debug``, ``--no-color`` and ``--exact-csv`` may stand anywhere.
    """
    settle_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    if "--no-color" in given or not has_colours():
        leave_out_colours()
    if "--exact-csv" in given:
        os.environ[EXACT_CSV] = "1"
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end: as after Ctrl-C, runs are closed
    try:
        app(args=[argument for argument in given if argument not in ANYWHERE], prog_name="rankline")
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            print("rankline: interrupted; whole spaces and finished trials are kept", file=sys.stderr)
        raise
    except UserError as error:
        _fail(error, 2, debug)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe has gone; nothing is left to say
        sys.exit(0)
    except Exception as error:
        told = _in_a_file(error)
        _fail(told or error, 2 if told else 1, debug)


def _in_a_file(error: Exception) -> UserError | None:
    """What the system says of a file, or a database that is damaged, in place of an error; None for any other."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return UserError(f"cannot use '{error.filename}': {error.strerror}; give a file that you can read and write")
    if "sqlalchemy" not in sys.modules:
        return None
    from rankline.src.db.backends.damage import damage

    return damage(error)


def _fail(error: Exception, code: int, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    message = for_terminal(" ".join(str(error).split())) or type(error).__name__
    hint = "" if code == 2 or debug else " (--debug shows where)"
    print(f"rankline: {message}{hint}", file=sys.stderr)
    sys.exit(code)
