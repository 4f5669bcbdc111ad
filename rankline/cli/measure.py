"""``measure``: what a file takes and is worth on this machine, whoever made it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankline.cli.deploy import TestSamplesOption
from rankline.cli.output import (
    DEFAULT_DATABASE,
    CsvOption,
    DatabaseOption,
    JsonOption,
    note,
    warnings_as_notes,
    write_json,
)
from rankline.cli.quiet import load_keras
from rankline.cli.scaling import LossOption, MeanOption, RescaleOption, ScoreOption, StdOption, scaling_of
from rankline.src.dse.errors import UserError


def measure(
    file: Annotated[Path | None, typer.Argument(help="A .keras, .tflite or .onnx file.", metavar="FILE")] = None,
    data: Annotated[
        str | None, typer.Option(help="Data whose test part it is scored on, as compress takes it.", metavar="DATA")
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="List what was measured before, of FILE or of all, and measure nothing.")
    ] = False,
    test_samples: TestSamplesOption = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Threads that the runtime computes with; one by default."),
    ] = None,
    loss: LossOption = None,
    score: ScoreOption = None,
    rescale: RescaleOption = "1",
    mean: MeanOption = "0",
    std: StdOption = "1",
    db: DatabaseOption = DEFAULT_DATABASE,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Measure a file on this machine: its bytes, the time of a call, and its accuracy or score.

    Example: [bold]rankline measure small.tflite --data digits[/bold]
    """
    from rankline.src.compress.data.sources import check_data
    from rankline.src.compress.data.takes import saved_takes
    from rankline.src.compress.deploy.formats import runtime_of
    from rankline.src.db.backends.engine import check_database

    if file is None and not history:
        raise UserError("give the FILE to measure: a .keras, .tflite or .onnx file; or --history for what was measured")
    if file is not None:
        runtime_of(file)
    if history:
        _list(file, db, as_json, as_csv)
        return
    assert file is not None
    scaling = scaling_of(rescale, mean, std)
    if data is not None:
        check_data(data, takes=saved_takes(str(file)))
    check_database(db)
    load_keras()
    from rankline.api import measure as run_measure
    from rankline.cli.present.measurement import show_measurement
    from rankline.cli.present.progress import bar
    from rankline.src.compress.data.classifier import ScaleWarning
    from rankline.src.compress.data.sets import DataWarning, Named

    with warnings_as_notes(DataWarning, ScaleWarning), bar("", "reading the file") as progress:
        found = run_measure(
            file,
            None if data is None else Named(data, scaling),
            threads=threads,
            test_samples=test_samples,
            db=db,
            progress=progress,
            loss=loss,
            score=score,
        )
    show_measurement(found, as_json, as_csv, f"the measurement is in {db}")


def _list(file: Path | None, db: str, as_json: bool, as_csv: bool) -> None:
    from rankline.cli.present.measurement import write_history
    from rankline.src.compress.deploy.digests import file_digest
    from rankline.src.db.database import open_database

    database = open_database(db, create=False, read_only=True)
    found = database.measurements(None if file is None else file_digest(file))
    database.close()
    if as_json:
        write_json([one.as_dict() for one in found])
    else:
        write_history(found, as_csv)
        if not found:
            note("measure one with: rankline measure FILE --data DATA")
