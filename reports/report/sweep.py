"""A sweep over budgets: a table for people, a CSV file, and a page with the curve."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from rankline.src.dse.metric import METRICS
from rankline.src.dse.numbers import percent
from rankline.src.dse.outgoing import for_csv
from rankline.src.dse.whole_file import write_texts
from rankline.src.reports.report.html import environment

COLUMNS = (
    "asked",
    "FLOPs kept",
    "params kept",
    "FLOPs",
    "params",
    "predicted damage",
    "validation accuracy",
    "test accuracy",
    "fitting (s)",
)

LEAST_IMPORTANT = ("fitting (s)", "params", "FLOPs")

Found = Mapping[str, Any]
"""The summary of a sweep, with its ``original`` and its ``points``."""


def sweep_rows(found: Found) -> list[list[Any]]:
    """Rows of COLUMNS: one for each budget, the smallest first, and one for the original."""
    original = found["original"]
    rows = [_row(point) for point in found["points"]]
    accuracies = [_accuracy(original[name]) for name in ("validation_accuracy", "test_accuracy")]
    whole = percent(1.0)
    return [*rows, ["original", whole, whole, original["flops"], original["params"], None, *accuracies, None]]


def _row(point: Found) -> list[Any]:
    return [
        f"{METRICS[metric_name(point)].title} {share_of(point):g}",
        percent(point["kept"]["flops"]),
        percent(point["kept"]["params"]),
        point["flops"],
        point["params"],
        f"{point['damage']:.3g}",
        *(_accuracy(point[name]) for name in ("validation_accuracy", "test_accuracy")),
        f"{point['fit_seconds']:.1f}",
    ]


def _accuracy(value: float | None) -> str | None:
    return None if value is None else percent(value)


def metric_name(point: Found) -> str:
    """The metric of a sweep's budget."""
    return str(next(iter(point["keep"])))


def share_of(point: Found) -> float:
    """The share that it keeps."""
    return float(next(iter(point["keep"].values())))


def write_sweep(found: Found, folder: Path) -> list[Path]:
    """Writes ``sweep.html`` and ``sweep.csv`` into a folder, created if missing; returns paths. Raises UserError."""
    return write_texts(folder, {"sweep.html": page(found), "sweep.csv": as_csv(found)})


def as_csv(found: Found) -> str:
    """The points as CSV, a line each."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ("params", "fm", "flops", "memory_bytes", "damage", "gap", "validation_accuracy", "test_accuracy")
    writer.writerow(["metric", "keep", *names, "fit_seconds", "file"])
    for point in found["points"]:
        values = [for_csv(point[name]) for name in (*names, "fit_seconds", "file")]
        writer.writerow([metric_name(point), share_of(point), *values])
    return text.getvalue()


def page(found: Found) -> str:
    """The sweep as one self-contained HTML file."""
    import pandas as pd

    from rankline.src.reports.figures.sweep_curve import sweep_curve

    metric, original = metric_name(found["points"][0]), found["original"]
    rows: list[Sequence[Any]] = [
        (point["kept"][metric], point["test_accuracy"], point["validation_accuracy"], point["damage"])
        for point in found["points"]
    ]
    rows.append((1.0, original["test_accuracy"], original["validation_accuracy"], None))
    frame = pd.DataFrame(rows, columns=["kept", "test", "validation", "damage"], dtype=float)
    shown = environment().get_template("sweep.html")
    return shown.render(
        found=found,
        columns=COLUMNS,
        rows=sweep_rows(found),
        curve=sweep_curve(frame, METRICS[metric].title),
    )
