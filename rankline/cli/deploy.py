"""``deploy``: a model as a file for another runtime, measured there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankline.cli import completion
from rankline.cli.explore import ModelArgument
from rankline.cli.measuring import BatchOption, ThreadsOption
from rankline.cli.output import (
    DEFAULT_DATABASE,
    CsvOption,
    DatabaseOption,
    JsonOption,
    SeedOption,
    note,
    warnings_as_notes,
)
from rankline.cli.quiet import load_keras
from rankline.cli.scaling import LossOption, MeanOption, RescaleOption, ScoreOption, StdOption, scaling_of
from rankline.src.dse.precision import PRECISIONS, precision_named

TestSamplesOption = Annotated[
    int | None, typer.Option(min=1, help="Score on so many test samples at most; otherwise on all.")
]


def deploy(
    model: ModelArgument,
    out: Annotated[Path, typer.Option(help="The .tflite or .onnx file to write.")],
    to: Annotated[
        str | None,
        typer.Option(
            help="The runtime: litert or onnx; by default that of the file's ending.",
            autocompletion=completion.among("litert", "onnx"),
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            help="f32; f16 (weights kept in half precision); int8 (weights and maps, needs --calibrate); int8-dynamic "
            "(maps by the range of each call); int8-weights (weights only).",
            autocompletion=completion.among(*PRECISIONS),
        ),
    ] = "f32",
    calibrate: Annotated[
        str | None,
        typer.Option(
            help="Data for the ranges of int8: as compress takes it, of whose training part samples are drawn, or "
            "inputs alone. With labels, its test part is scored, unless --data is given.",
            metavar="DATA",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Data whose test part the file and the Keras model are scored on.", metavar="DATA"),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Calibrate on so many training inputs.")] = 1024,
    fit: Annotated[
        bool,
        typer.Option(
            "--fit/--no-fit",
            help="Fit the weights to what int8 rounds, on the inputs of --calibrate, without labels or training.",
        ),
    ] = True,
    test_samples: TestSamplesOption = None,
    batch: BatchOption = 1,
    threads: ThreadsOption = 1,
    loss: LossOption = None,
    score: ScoreOption = None,
    rescale: RescaleOption = "1",
    mean: MeanOption = "0",
    std: StdOption = "1",
    seed: SeedOption = 0,
    db: DatabaseOption = DEFAULT_DATABASE,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Write a model for LiteRT or ONNX Runtime, in floats or integers, and measure what it is worth there.

    Example: [bold]rankline deploy lenet5.keras --precision int8 --calibrate digits --out small.tflite[/bold]
    """
    from rankline.src.compress.data.sources import check_data
    from rankline.src.compress.data.takes import saved_takes
    from rankline.src.compress.deploy.formats import SUFFIXES, target_of
    from rankline.src.compress.model.destination import check_target
    from rankline.src.db.backends.engine import check_database
    from rankline.src.dse.errors import UserError
    from rankline.src.dse.keras_model.source import check_model

    scaling = scaling_of(rescale, mean, std)
    wanted = precision_named(precision)
    check_target(out, SUFFIXES[target_of(out, to)])
    check_model(model)
    if wanted.needs_samples and calibrate is None and data is None:
        raise UserError(f"--precision {precision} takes the ranges of maps from samples; give --calibrate DATA")
    for given, may_lack_labels in ((calibrate, True), (data, False)):
        if given is not None:
            check_data(given, may_lack_labels, saved_takes(model))
    check_database(db)
    if out.is_file():
        note(f"{out} will be replaced")
    load_keras()
    from rankline.api import deploy as run_deploy
    from rankline.cli.present.measurement import show_measurement
    from rankline.cli.present.progress import bar
    from rankline.src.compress.data.classifier import ScaleWarning
    from rankline.src.compress.data.sets import DataWarning, Named

    with warnings_as_notes(DataWarning, ScaleWarning), bar("", "reading the model") as progress:
        found = run_deploy(
            model,
            out,
            to=to,
            precision=precision,
            calibrate=None if calibrate is None else Named(calibrate, scaling),
            data=None if data is None else Named(data, scaling),
            batch=batch,
            threads=threads,
            samples=samples,
            fit=fit,
            test_samples=test_samples,
            seed=seed,
            db=db,
            progress=progress,
            loss=loss,
            score=score,
        )
    show_measurement(found, as_json, as_csv, f"wrote {out}; the measurement is in {db}")
