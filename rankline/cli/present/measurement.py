"""Measurements of files as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rankline.cli.output import note, write_json, write_table
from rankline.cli.present.table import Shown
from rankline.src.db.records.measurements import UNKNOWN, Measurement
from rankline.src.dse.metric import LATENCY
from rankline.src.dse.numbers import MISSING


def show_measurement(found: Measurement, as_json: bool, as_csv: bool, told: str) -> None:
    """Writes a measurement as JSON, CSV or a table; the last with a line to standard error."""
    if as_json:
        write_json(found.as_dict())
    elif as_csv:
        write_history([found], as_csv=True)
    else:
        write_measurement(found)
        note(told)


def write_measurement(found: Measurement) -> None:
    """Writes a measurement as a table."""
    threads = f"{found.threads} thread{'' if found.threads == 1 else 's'}"
    how = ", ".join((f"{found.runtime} {found.version}", found.precision or UNKNOWN, threads, f"batch {found.batch}"))
    write_table(f"{found.file} ({how})", ["", "value"], _rows(found))


def write_history(found: Sequence[Measurement], as_csv: bool) -> None:
    """Writes many measurements as a table or CSV, the oldest first."""
    columns = [
        "file", "runtime", "version", "precision", "threads", "batch", "bytes", "score", "value", "of Keras", "latency",
        "data", "machine", "measured at",
    ]  # fmt: skip
    rows = [
        [
            one.file,
            one.runtime,
            one.version,
            one.precision,
            one.threads,
            one.batch,
            one.bytes,
            one.score_name,
            *(
                None if value is None else Shown(value, one.measure.text(value))
                for value in (one.score, one.keras_score)
            ),
            Shown(one.latency_ps, LATENCY.text(one.latency_ps)),
            one.data,
            one.machine,
            one.measured_at,
        ]
        for one in found
    ]
    if as_csv:
        columns[columns.index("latency")] = "latency (ps)"
    title = f"{len(found)} measurement{'' if len(found) == 1 else 's'}"
    least = ["machine", "measured at", "version", "threads", "batch", "score", "data"]
    write_table(title, columns, rows, least_important=least, as_csv=as_csv)


def _rows(found: Measurement) -> list[list[Any]]:
    measure = found.measure
    rows: list[list[Any]] = [["bytes", found.bytes]]
    if found.score is not None:
        rows.append([f"{found.score_name} on {found.samples:,} samples of {found.data}", measure.text(found.score)])
    if found.keras_score is not None:
        change = measure.change(found.keras_score, found.score)
        rows.append(["of the Keras model", f"{measure.text(found.keras_score)} ({change})"])
    if found.difference is not None:
        rows.append(["largest difference of outputs", f"{found.difference:.2g} of their range"])
    times = [LATENCY.text(one) for one in (found.latency_ps, found.median_ps)]
    rows.append(["a call", f"{times[0]} (median {times[1]})"])
    return rows if found.score is not None else [*rows, ["score", f"{MISSING} (give --data)"]]
