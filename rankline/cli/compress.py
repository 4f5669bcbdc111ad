"""``compress``: making a model smaller."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rankline.cli import completion
from rankline.cli.explore import MODEL_HELP
from rankline.cli.output import (
    DEFAULT_DATABASE,
    CsvOption,
    DatabaseOption,
    DeviceOption,
    JsonOption,
    NameOption,
    SeedOption,
    is_given,
    note,
    tell_replaced,
    warnings_as_notes,
    words,
    write_json,
)
from rankline.cli.quiet import load_keras
from rankline.cli.scaling import LossOption, MeanOption, RescaleOption, ScoreOption, StdOption, scaling_of
from rankline.cli.windows import device_named
from rankline.src.dse.errors import UserError

GOES_ON_WITH = ("resume", "db", "max_trials", "max_minutes", "as_json", "as_csv")
"""Options beside ``--resume``: the others are the run's own."""


def compress(
    context: typer.Context,
    model: Annotated[str | None, typer.Argument(help=MODEL_HELP, metavar="MODEL")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="digits, mnist, fashion_mnist, cifar10, cifar100, a .npz file, a folder of class folders of pictures, "
            "or package.module:function."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The .keras file to write; its plan and a model card lie next to it.")
    ] = None,
    resume: Annotated[
        int | None, typer.Option(metavar="RUN", help="Go on with a run that was stopped; no MODEL, --data or --out.")
    ] = None,
    strategy: Annotated[
        str,
        typer.Option(
            help="similarity (one pair of methods), hybrid (all pairs, then the best for each layer), or a baseline: "
            "vbmf, pruning.",
            autocompletion=completion.among("similarity", "hybrid", "vbmf", "pruning"),
        ),
    ] = "similarity",
    db: DatabaseOption = DEFAULT_DATABASE,
    name: NameOption = None,
    objective: Annotated[
        str,
        typer.Option(
            help="What is lowered: params, flops, memory, or latency on --device.",
            autocompletion=completion.among("params", "flops", "memory", "latency"),
        ),
    ] = "params",
    device: DeviceOption = None,
    conv_method: Annotated[
        str | None,
        typer.Option(
            help="Method for convolutions (tucker); for the hybrid several, with commas.",
            autocompletion=completion.methods,
        ),
    ] = None,
    dense_method: Annotated[
        str | None,
        typer.Option(
            help="Method for dense layers (svd); for the hybrid several, with commas.",
            autocompletion=completion.methods,
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option(help="What is judged by: accuracy (where there is none, the score) or loss.")
    ] = "accuracy",
    loss: LossOption = None,
    score: ScoreOption = None,
    max_drop: Annotated[
        float,
        typer.Option(
            help="Most points of accuracy to lose; of another score, percent of its value; with --metric loss, "
            "hundredths."
        ),
    ] = 1.5,
    step: Annotated[float, typer.Option(help="Points of reduction that a layer gives back at a time.")] = 5.0,
    max_sol: Annotated[int, typer.Option(help="Configurations tried a level.")] = 1,
    include: Annotated[
        list[str] | None, typer.Option(help="Only layers of this name or pattern. May be repeated.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Not layers of this name or pattern. May be repeated.")
    ] = None,
    drop_smallest: Annotated[float, typer.Option(help="Percent of the layers, the smallest, left as they are.")] = 10.0,
    fine_tune: Annotated[
        str, typer.Option(help="one-shot: the whole model; iterative: also after each layer.")
    ] = "one-shot",
    fit: Annotated[
        str,
        typer.Option(
            help="What trials are made from before fine-tuning: weights, or data (all layers fitted to the original's "
            "outputs; with --fine-tune one-shot)."
        ),
    ] = "weights",
    epochs: Annotated[int, typer.Option(help="Most epochs of a fine-tuning.")] = 10,
    learning_rate: Annotated[float, typer.Option(help="Adam's learning rate.")] = 1e-4,
    batch_size: Annotated[int, typer.Option(help="Samples a training step.")] = 32,
    max_trials: Annotated[
        int | None, typer.Option("--max-trials", "--budget-trials", help="Most models to try (60).")
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option("--max-minutes", "--budget-minutes", help="No new trial after that.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Searches of a hybrid side by side, as far as memory allows.")] = 1,
    rescale: RescaleOption = "1",
    mean: MeanOption = "0",
    std: StdOption = "1",
    split_seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Seed of the validation part, where the data has none of its own.")
    ] = 0,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Compress a trained model until its accuracy is within reach of the original's.

    Ctrl-C ends the search and writes the best trial so far; --resume goes on from there, or from a crash.

    Example: [bold]rankline compress lenet5.keras --data digits --out small.keras[/bold]
    """
    from rankline.src.compress.approach import Approach
    from rankline.src.compress.model.destination import check_target
    from rankline.src.compress.runs.settings import Settings
    from rankline.src.compress.search.patterns import check_patterns
    from rankline.src.compress.training.settings import FineTuning
    from rankline.src.db.backends.engine import check_database
    from rankline.src.db.backends.location import check_location
    from rankline.src.dse.keras_model.source import check_model

    asked: dict[str, Any] = {}
    if resume is not None:
        unwanted = [name for name in context.params if name not in GOES_ON_WITH and is_given(context, name)]
        if unwanted:
            named = ", ".join("MODEL" if name == "model" else f"--{name.replace('_', '-')}" for name in unwanted)
            raise UserError(f"--resume takes the model, data, file and settings of the run; leave out {named}")
        check_location(db, create=False)
        from rankline.src.compress.runs.resume import stopped
        from rankline.src.db.backends.engine import connect

        limits = {"max_trials": max_trials, "max_minutes": max_minutes}
        engine = connect(db, create=False)
        stopped(engine, resume, limits).check()
        engine.dispose()
    else:
        if model is None or data is None or out is None:
            raise UserError("compress needs MODEL, --data and --out (or --resume RUN)")
        scaling = scaling_of(rescale, mean, std)
        settings = Settings(
            objective=objective,
            metric=metric,
            max_drop=max_drop / 100,
            step=step / 100,
            max_solutions=max_sol,
            include=tuple(include or ()),
            exclude=tuple(exclude or ()),
            drop_smallest=drop_smallest / 100,
            schedule=fine_tune,
            fit=fit,
            max_trials=60 if max_trials is None else max_trials,
            max_minutes=max_minutes,
            fine_tuning=FineTuning(epochs, learning_rate, batch_size),
            seed=seed,
        )
        given = {"conv": words(conv_method, "--conv-method"), "dense": words(dense_method, "--dense-method")}
        asked = {
            "strategy": strategy,
            "methods": {kind: names for kind, names in given.items() if names},
            "jobs": jobs,
        }
        Approach(**asked).settings(settings)
        check_target(out)
        check_patterns(check_model(model), settings.include, settings.exclude)
        from rankline.src.compress.data.sources import check_data  # NumPy, which an unknown run needn't wait for
        from rankline.src.compress.data.takes import saved_takes

        check_data(data, takes=saved_takes(model))
        check_database(db)
        device = device_named(db, device, [objective])
        tell_replaced(out, ".plan.json", ".md")
    load_keras()
    from rankline.api import compress as run_compression
    from rankline.api import resume as run_on
    from rankline.cli.present.progress import bar, tell_search, tell_trial
    from rankline.cli.present.summary import summary, write_summary
    from rankline.src.compress.data.classifier import ScaleWarning
    from rankline.src.compress.data.sets import DataWarning, Named
    from rankline.src.compress.runs.timed import NotTimedWarning
    from rankline.src.compress.training.fine_tuning import GuessWarning
    from rankline.src.db.records.runs import INTERRUPTED

    with (
        warnings_as_notes(DataWarning, GuessWarning, NotTimedWarning, ScaleWarning),
        bar("", "reading the model and the data") as progress,
    ):
        told: dict[str, Any] = {"on_trial": tell_trial, "progress": progress}
        if resume is not None:
            done = run_on(resume, db, max_trials=max_trials, max_minutes=max_minutes, **told)
        else:
            done = run_compression(
                str(model), Named(str(data), scaling, split_seed=split_seed), db, name=name, out=out, settings=settings,
                device=device,                 on_part=tell_search, loss=loss, score=score, **asked, **told,
            )  # fmt: skip
    found = summary(done)
    if as_json:
        write_json(found)
    else:
        write_summary(found, as_csv)
        file, plan, card = done.delivered.files
        note(f"wrote {file}, {plan.name} and {card.name}; run {done.run.id} is in {db}")
    if done.run.status == INTERRUPTED:
        raise typer.Exit(130)
