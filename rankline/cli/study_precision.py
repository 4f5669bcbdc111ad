"""``study precision``: what factorization and rounding lose, each alone and together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankline.cli import completion
from rankline.cli.deploy import TestSamplesOption
from rankline.cli.explore import SAMPLES, ModelArgument
from rankline.cli.output import (
    JsonOption,
    MethodsOption,
    SeedOption,
    note,
    numbers,
    warnings_as_notes,
    words,
    write_json,
)
from rankline.cli.quiet import load_keras
from rankline.cli.scaling import LossOption, MeanOption, RescaleOption, ScoreOption, StdOption, scaling_of


def precision(
    model: ModelArgument,
    data: Annotated[
        str,
        typer.Option(
            help="Labelled data as compress takes it: plans and fits take inputs of its training part, scores are of "
            "its test part.",
            metavar="DATA",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the files it writes.")],
    runtime: Annotated[
        str, typer.Option(help="The runtime: litert or onnx.", autocompletion=completion.among("litert", "onnx"))
    ] = "litert",
    keep: Annotated[
        str, typer.Option(help="Shares of the FLOPs (and, of Tucker, the params) to keep, separated by commas.")
    ] = "0.3,0.5,0.7",
    methods: MethodsOption = None,
    precisions: Annotated[
        str, typer.Option(help="Of f32, f16, int8, int8-dynamic and int8-weights, separated by commas.")
    ] = "f32,f16,int8,int8-dynamic",
    fit: Annotated[
        bool, typer.Option("--fit/--no-fit", help="Fit the weights to what int8 rounds, in the pairs.")
    ] = True,
    prune_epochs: Annotated[
        int, typer.Option(min=0, metavar="EPOCHS", help="Fine-tune pruned models so long, with labels.")
    ] = 1,
    samples: Annotated[int, typer.Option(min=1, help="Calibrate on so many training inputs.")] = SAMPLES,
    test_samples: TestSamplesOption = None,
    loss: LossOption = None,
    score: ScoreOption = None,
    rescale: RescaleOption = "1",
    mean: MeanOption = "0",
    std: StdOption = "1",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Study what factorization and precision take from a trained model's score, each alone and together.

    Every method alone at every share and precision, baselines, and CP before and after each remedy: CSV, LaTeX and a
    page.

    Example: [bold]rankline study precision lenet5.keras --data digits --out precision[/bold]
    """
    from rankline.src.compress.data.sources import check_data
    from rankline.src.compress.data.takes import saved_takes
    from rankline.src.compress.model.destination import check_folder
    from rankline.src.compress.precision_study.settings import PrecisionSettings
    from rankline.src.dse.keras_model.source import check_model

    scaling = scaling_of(rescale, mean, std)
    settings = PrecisionSettings(
        keep=numbers(keep, "--keep"),
        methods=words(methods, "--methods"),
        precisions=words(precisions, "--precisions") or (),
        runtime=runtime,
        samples=samples,
        test_samples=test_samples,
        is_fitted=fit,
        prune_epochs=prune_epochs,
        seed=seed,
    )
    check_folder(out)
    check_model(model)
    check_data(data, takes=saved_takes(model))
    load_keras()
    from rankline.cli.present.progress import bar
    from rankline.cli.present.study import show_tables
    from rankline.src.compress.data.classifier import ScaleWarning
    from rankline.src.compress.data.sets import DataWarning, Named
    from rankline.src.compress.fit.covariance import CalibrationWarning
    from rankline.src.compress.methods.cp import ConvergenceWarning
    from rankline.src.compress.precision_study.study import study_precisions
    from rankline.src.compress.training.settings import Aim
    from rankline.src.dse.keras_model.source import load_model
    from rankline.src.reports.study.precision_files import precision_tables, write_precision_study
    from rankline.src.reports.study.precision_tables import independence_told

    with (
        warnings_as_notes(CalibrationWarning, ConvergenceWarning, DataWarning, ScaleWarning),
        bar("", "reading the model") as progress,
    ):
        aim = Aim(loss, score)
        found = study_precisions(load_model(model), Named(data, scaling), settings, model, aim, progress)
    written = write_precision_study(found, out)
    if as_json:
        write_json({**found.as_dict(), "files": [str(path) for path in written]})
        return
    show_tables(precision_tables(found))
    note(f"wrote {len(written)} files into {out}; look at {written[-1]}")
    note(independence_told(found))
