"""The files for runtimes that were made of a run's models, as they were measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rankline.src.db.records.measurements import UNKNOWN, Measurement, deployed_of
from rankline.src.db.records.runs import TrialRecord
from rankline.src.dse.metric import LATENCY
from rankline.src.reports.report.table import Column, Table, counted


def deployed_files(trials: Sequence[TrialRecord], measurements: Sequence[Measurement]) -> Table | None:
    """A row for the file of each trial, and for whatever else was measured of the same model; None if there is none.

    ``measurements``: all of the database, of which those of the trials' models are told, if judged by the same.
    """
    files = {trial.number: found for trial in trials if (found := deployed_of(trial.made_by)) is not None}
    if not files:
        return None
    rows = [_row(number, one) for number, file in files.items() for one in (file, *_others(file, measurements))]
    measure = next(iter(files.values())).measure
    columns = (
        counted("trial", "trial"),
        Column("file", "file"),
        Column("runtime", "runtime"),
        Column("precision", "precision"),
        counted("bytes", "bytes"),
        Column("score", measure.name, measure.text, number=True),
        Column("keras_score", "of the Keras model", measure.text, number=True),
        Column("latency_ps", "latency of a call", LATENCY.text, number=True),
        Column("machine", "machine"),
    )
    notes = ("Measured on the files themselves, each through its runtime.",)
    return Table("files", "Files for runtimes", columns, rows, notes)


def _others(file: Measurement, measurements: Sequence[Measurement]) -> list[Measurement]:
    """The other measurements of a file's model."""
    same = [one for one in measurements if one.model is not None and one.model == file.model and one != file]
    return [one for one in same if one.score_name in (None, file.score_name)]


def _row(trial: int, one: Measurement) -> dict[str, Any]:
    return {
        "trial": trial,
        "file": one.file,
        "runtime": f"{one.runtime} {one.version}",
        "precision": one.precision or UNKNOWN,
        "bytes": one.bytes,
        "score": one.score,
        "keras_score": one.keras_score,
        "latency_ps": one.latency_ps,
        "machine": one.machine,
    }
