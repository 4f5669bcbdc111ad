"""``runs``: what was tried, and how two runs differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankline.cli.output import (
    DEFAULT_DATABASE,
    CsvOption,
    DatabaseOption,
    JsonOption,
    is_given,
    note,
    write_csv,
    write_json,
    write_table,
)
from rankline.cli.present.latency import LATENCY_COLUMNS, latency_cells
from rankline.cli.present.table import rounded, share
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import FLOPS, LATENCY
from rankline.src.dse.network_cost import uncounted, uncounted_sentence

if TYPE_CHECKING:
    from rankline.src.db.database import Database
    from rankline.src.db.records.networks import LayerRow
    from rankline.src.db.records.runs import LayerRecord, RunRow

app = typer.Typer(
    help="List compression runs, show their trials, compare and export them.\n\nExample: [bold]rankline runs[/bold]"
)

RunArgument = Annotated[int, typer.Argument(help="The number of a run, as `rankline runs` lists it.")]

LAYER_COLUMNS = ("layer", "method", "ranks", "shape", "params", "params saved", "similarity", "error")


@app.callback(invoke_without_command=True)
def runs(
    context: typer.Context,
    db: DatabaseOption = DEFAULT_DATABASE,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """List compression runs.

    Example: [bold]rankline runs[/bold]
    """
    from rankline.src.reports.report.comparison import strategy

    if context.invoked_subcommand is not None:
        for name in ("db", "as_json", "as_csv"):
            if is_given(context, name):
                option = f"--{name.removeprefix('as_')}"
                raise UserError(f"give {option} after the command: rankline runs {context.invoked_subcommand} {option}")
        return
    database = _open(db)
    found = database.runs()
    if as_json:
        write_json([row.as_dict() for row in found])
        return
    columns = [
        "id",
        "network",
        "strategy",
        "methods",
        "status",
        "trials",
        "test accuracy",
        "latency",
        "seed",
        "started",
    ]
    rows = [
        [
            row.id,
            row.network,
            strategy(row),
            _methods(row),
            row.status,
            row.trials,
            _tested(row),
            _speed(database, row),
            row.seed,
            row.started,
        ]
        for row in found
    ]
    title = f"{len(found)} run{'' if len(found) == 1 else 's'}"
    write_table(title, columns, rows, least_important=["seed", "started", "strategy"], as_csv=as_csv)


@app.command()
def show(
    run: RunArgument,
    db: DatabaseOption = DEFAULT_DATABASE,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Show a run's trials, and each layer of them; as CSV the trials' columns stand before their layers'.

    Example: [bold]rankline runs show 1[/bold]
    """
    from rankline.src.compress.runs.latency import PlanLatency
    from rankline.src.db.records.measure import measure_of
    from rankline.src.db.records.measurements import deployed_of
    from rankline.src.reports.report.comparison import setting_text

    database = _open(db)
    found = database.trials(run)
    (owner,) = [row for row in database.runs() if row.id == run]
    measure = measure_of(owner.settings)
    if as_json:
        write_json([row.as_dict() for row in found])
        return
    flops = FLOPS.titled("FLOPs", found[0].cost) if found and not as_csv else "FLOPs"
    columns = [
        "trial", "status", "made by", f"validation {measure.name}", "loss", "params", flops, "seconds",
        "of these making it", *LATENCY_COLUMNS[as_csv],
    ]  # fmt: skip
    rows = [
        [
            row.number,
            row.status,
            setting_text({name: value for name, value in row.made_by.items() if not isinstance(value, dict)}) or None,
            share(row.accuracy) if measure.is_accuracy else rounded(measure.of(row), 4),
            rounded(row.loss, 4),
            row.cost.params,
            row.cost.flops,
            rounded(row.seconds, 1),
            rounded(row.construct_seconds, 1),
            *latency_cells(PlanLatency.from_record(row.made_by)),
        ]
        for row in found
    ]
    originals = _original_params(database, run)
    layers = [[_layer(one, originals) for one in row.layers] for row in found]
    if as_csv:
        each = zip(rows, layers, strict=True)
        joined = [[*row, *one] for row, some in each for one in some or [[None] * len(LAYER_COLUMNS)]]
        write_csv([*columns, *(f"layer's {name}" if name in columns else name for name in LAYER_COLUMNS)], joined)
        return
    least = ["of these making it", "seconds", "loss", flops]
    write_table(f"run {run}{_on(owner)}", columns, rows, least_important=least)
    numbered = [[row.number, *one] for row, some in zip(found, layers, strict=True) for one in some]
    if numbered:
        write_table("its layers", ["trial", *LAYER_COLUMNS], numbered, least_important=["params", "shape"])
    for row in found:
        if (file := deployed_of(row.made_by)) is not None:
            note(f"trial {row.number}: {file.told}")
    if unknown := uncounted(row.shape for row in _network_layers(database, run)):
        note(uncounted_sentence(unknown))


@app.command()
def compare(
    one: RunArgument,
    other: RunArgument,
    db: DatabaseOption = DEFAULT_DATABASE,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Put two runs side by side: their settings where they differ, their models, and each layer's choice.

    Example: [bold]rankline runs compare 1 2[/bold]
    """
    from rankline.src.reports.report.comparison import compared, side

    database = _open(db)
    if as_json:
        write_json({str(run): side(database, run).as_dict() for run in (one, other)})
        return
    titles = [f"run {one}", f"run {other}"]
    found = compared(database, one, other)
    models = [*([name, *map(share, values)] for name, *values in found.accuracies), *found.scores, *found.sizes]
    if as_csv:
        parts = {"setting": found.settings, "model": models, "layer": found.layers}
        write_csv(["what", "name", *titles], ([what, *row] for what, some in parts.items() for row in some))
        return
    write_table("where they differ", ["setting", *titles], found.settings, drop_empty=False)
    write_table("their models", ["", *titles], models, drop_empty=False)
    if found.layers:
        write_table("each layer", ["layer", *titles], found.layers, drop_empty=False)


@app.command()
def export(
    run: RunArgument,
    out: Annotated[Path, typer.Argument(help="A .json file, with the run, its settings, trials and layers.")],
    db: DatabaseOption = DEFAULT_DATABASE,
) -> None:
    """Write all that is on record of a run to a file.

    Example: [bold]rankline runs export 1 run.json[/bold]
    """
    import json

    from rankline.src.dse.whole_file import write_text

    if out.suffix != ".json":
        raise UserError(f"a run is exported as .json; got '{out.name}'")
    database = _open(db)
    trials = database.trials(run)
    (row,) = [row for row in database.runs() if row.id == run]
    write_text(out, json.dumps({**row.as_dict(), "trials": [one.as_dict() for one in trials]}, indent=2) + "\n")
    note(f"wrote run {run} with {len(trials)} trials to {out}")


def _open(db: str) -> Database:
    from rankline.src.db.database import open_database

    return open_database(db, create=False)


def _layer(one: LayerRecord, originals: dict[str, int]) -> list[Any]:
    from rankline.src.reports.report.comparison import ranks_text

    return [
        one.layer,
        one.method or "as it was",
        ranks_text(one.ranks),
        one.shape,
        one.cost.params,
        share(1 - one.cost.params / originals[one.layer], bar=True),
        None if one.method is None else rounded(one.similarity, 3),
        None if one.error is None or one.method is None else share(one.error),
    ]


def _original_params(database: Database, run: int) -> dict[str, int]:
    return {row.name: row.cost.params for row in _network_layers(database, run)}


def _network_layers(database: Database, run: int) -> list[LayerRow]:
    """The layers of a run's network."""
    (network,) = [row.network for row in database.runs() if row.id == run]
    return database.layers(network)


def _tested(row: RunRow) -> Any:
    """The accuracy of the written model on the test part; of another score its name and value."""
    from rankline.src.db.records.measure import measure_of, tested

    measure, value = measure_of(row.settings), tested(row).after
    return share(value) if measure.is_accuracy or value is None else f"{measure.name} {measure.text(value)}"


def _speed(database: Database, row: RunRow) -> str | None:
    """How much faster the result of a run is, and on which device; None where no latency is on record."""
    from rankline.src.compress.runs.latency import PlanLatency, faster
    from rankline.src.db.records.runs import CHOSEN, MADE_BY

    if not any(LATENCY.name in one for one in row.settings.get(MADE_BY, {}).values()):
        return None
    chosen = [PlanLatency.from_record(one.made_by) for one in database.trials(row.id) if one.status == CHOSEN]
    (found,) = chosen or [None]
    return None if found is None else f"{faster(found.speedup)} on {found.device}"


def _on(row: RunRow) -> str:
    """The device of a run, as the end of a title."""
    from rankline.src.db.records.runs import DEVICE

    device = row.settings.get(DEVICE)
    return f", latencies on {device}" if device else ""


def _methods(row: RunRow) -> str:
    from rankline.src.reports.report.comparison import strategy

    if strategy(row) in ("vbmf", "pruning", "hybrid"):
        return ""
    return f"{row.settings.get('conv_method', '')} {row.settings.get('dense_method', '')}".strip()
