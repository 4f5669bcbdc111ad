"""``compress`` and ``runs``: making a model smaller, and what was tried."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dse.errors import UserError
from rankline.cli.explore import ModelArgument
from rankline.cli.output import (
    DEFAULT_DATABASE,
    DatabaseOption,
    JsonOption,
    NameOption,
    SeedOption,
    note,
    numbers,
    write_json,
    write_table,
)
from rankline.cli.quiet import load_keras
from reports.numbers import percent


def compress(
    model: ModelArgument,
    data: Annotated[
        str,
        typer.Option(help="digits, mnist, fashion_mnist, cifar10, cifar100, a .npz file, or package.module:function."),
    ],
    out: Annotated[Path, typer.Option(help="The .keras file to write; its plan lies next to it.")],
    db: DatabaseOption = DEFAULT_DATABASE,
    name: NameOption = None,
    objective: Annotated[str, typer.Option(help="params, flops or memory.")] = "params",
    conv_method: Annotated[str, typer.Option(help="Method for convolutions.")] = "tucker",
    dense_method: Annotated[str, typer.Option(help="Method for dense layers.")] = "svd",
    max_drop: Annotated[float, typer.Option(help="Most points of accuracy to lose.")] = 1.5,
    step: Annotated[float, typer.Option(help="Points of reduction that a layer gives back at a time.")] = 5.0,
    max_sol: Annotated[int, typer.Option(help="Configurations tried a level.")] = 1,
    epochs: Annotated[int, typer.Option(help="Most epochs of a fine-tuning.")] = 10,
    learning_rate: Annotated[float, typer.Option(help="Adam's learning rate.")] = 1e-4,
    batch_size: Annotated[int, typer.Option(help="Samples a training step.")] = 32,
    max_trials: Annotated[int, typer.Option(help="Most models to try.")] = 60,
    rescale: Annotated[str, typer.Option(help="Factor on the inputs, such as 1/255.")] = "1",
    mean: Annotated[str, typer.Option(help="Means to subtract after that, one per channel.")] = "0",
    std: Annotated[str, typer.Option(help="Deviations to divide by then.")] = "1",
    split_seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Seed of the validation part, where the data has none of its own.")
    ] = 0,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Compress a trained model until its accuracy is within reach of the original's.

    Ctrl-C ends the search and writes the best trial so far.

    Example: [bold]rankline compress lenet5.keras --data digits --out small.keras[/bold]
    """
    load_keras()
    from compress.data import Scaling, load
    from compress.search import Settings
    from compress.training import FineTuning
    from db.runs import INTERRUPTED
    from rankline.compression import compress as run_compression
    from rankline.progress import TrialProgress
    from rankline.summary import summary, write_summary

    factor, *more = numbers(rescale, "--rescale")
    if more:
        raise UserError(f"--rescale takes one number, such as 1/255; got '{rescale}'")
    scaling = Scaling(factor, numbers(mean, "--mean"), numbers(std, "--std"))
    settings = Settings(
        objective=objective,
        conv_method=conv_method,
        dense_method=dense_method,
        max_drop=max_drop / 100,
        step=step / 100,
        max_solutions=max_sol,
        max_trials=max_trials,
        fine_tuning=FineTuning(epochs, learning_rate, batch_size),
        seed=seed,
    )
    loaded = load(data, scaling, split_seed=split_seed)
    with TrialProgress(epochs) as progress:
        done = run_compression(
            model,
            loaded,
            db,
            name=name,
            out=out,
            settings=settings,
            on_trial=progress.trial,
            callbacks=progress.callbacks(),
        )
    found = summary(done, loaded)
    if as_json:
        write_json(found)
    else:
        write_summary(found)
        note(f"wrote {done.delivered.model} and {done.delivered.plan}; run {done.run.id} is in {db}")
    if done.run.status == INTERRUPTED:
        raise typer.Exit(130)


def runs(
    run: Annotated[int | None, typer.Argument(help="A run, to see its trials.")] = None,
    db: DatabaseOption = DEFAULT_DATABASE,
    as_json: JsonOption = False,
) -> None:
    """List compression runs, or the trials of one.

    Example: [bold]rankline runs 1[/bold]
    """
    from db.database import open_database

    database = open_database(db, create=False)
    found = database.runs() if run is None else database.trials(run)
    if as_json:
        write_json(found)
    elif run is None:
        keys = ["id", "network", "status", "trials", "seed", "started"]
        rows = [[*(row[key] for key in keys), percent(row["accuracy"])] for row in found]
        write_table(
            f"{len(found)} run{'' if len(found) == 1 else 's'}",
            [*keys, "test accuracy"],
            rows,
            least_important=["seed", "started"],
        )
    else:
        columns = ["trial", "status", "validation accuracy", "params", "FLOPs", "seconds", "ranks"]
        rows = [
            [
                row["number"],
                row["status"],
                percent(row["accuracy"]),
                row["params"],
                row["flops"],
                round(row["seconds"], 1),
                "  ".join(
                    f"{one['layer']} {one['method'] or 'as it is'} {_ranks(one['ranks'])}" for one in row["layers"]
                ),
            ]
            for row in found
        ]
        write_table(f"run {run}", columns, rows, least_important=["seconds", "FLOPs"])


def _ranks(ranks: list[int] | None) -> str:
    return "" if ranks is None else "x".join(map(str, ranks))
