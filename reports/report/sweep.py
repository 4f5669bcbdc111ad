"""A sweep over budgets: a table for people, a CSV file, and a page with the curve."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from rankline.src.db.records.measure import Measure, measure_of
from rankline.src.dse.cost import Cost
from rankline.src.dse.metric import BUDGETS, FLOPS
from rankline.src.dse.network_cost import uncounted_sentence
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
    "validation {}",
    "test {}",
    "fitting (s)",
)
"""With the name of what is judged by in the braces."""

LEAST_IMPORTANT = ("fitting (s)", "params", "FLOPs")

Found = Mapping[str, Any]
"""The summary of a sweep, with its ``original`` and its ``points``."""


def sweep_columns(found: Found) -> list[str]:
    """The titles of the columns, with FLOPs "at least" where those of some layers are unknown."""
    known = Cost(0, 0, 0, is_whole=not found["uncounted"])
    titles = [FLOPS.titled(title, known) if title == FLOPS.title else title for title in COLUMNS]
    return [title.format(measure_of(found).name) for title in titles]


def sweep_rows(found: Found) -> list[list[Any]]:
    """The rows: one for each budget, the smallest first, and one for the original."""
    original, measure = found["original"], measure_of(found)
    rows = [_row(point, measure) for point in found["points"]]
    accuracies = _judged(original, measure)
    whole = percent(1.0)
    return [*rows, ["original", whole, whole, original["flops"], original["params"], None, *accuracies, None]]


def _row(point: Found, measure: Measure) -> list[Any]:
    return [
        f"{BUDGETS[metric_name(point)].title} {share_of(point):g}",
        percent(point["kept"]["flops"]),
        percent(point["kept"]["params"]),
        point["flops"],
        point["params"],
        f"{point['damage']:.3g}",
        *_judged(point, measure),
        f"{point['fit_seconds']:.1f}",
    ]


def _judged(point: Found, measure: Measure) -> list[str | None]:
    """The values on the validation and the test part, as text."""
    values = [point[key] for key in keys_of(measure)]
    return [None if value is None else measure.text(value) for value in values]


def keys_of(measure: Measure) -> list[str]:
    """Where a summary has the values on the validation and the test part."""
    return [f"{part}_{'accuracy' if measure.is_accuracy else 'score'}" for part in ("validation", "test")]


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
    names = ("params", "fm", "flops", "memory_bytes", "damage", "gap", *keys_of(measure_of(found)))
    writer.writerow(["metric", "keep", *names, "fit_seconds", "file", "is_whole"])
    for point in found["points"]:
        values = [for_csv(point[name]) for name in (*names, "fit_seconds", "file")]
        writer.writerow([metric_name(point), share_of(point), *values, not found["uncounted"]])
    return text.getvalue()


def page(found: Found) -> str:
    """The sweep as one self-contained HTML file."""
    import pandas as pd

    from rankline.src.reports.figures.sweep_curve import sweep_curve

    metric, original, measure = metric_name(found["points"][0]), found["original"], measure_of(found)
    validation, test = keys_of(measure)
    rows: list[Sequence[Any]] = [
        (point["kept"][metric], point[test], point[validation], point["damage"]) for point in found["points"]
    ]
    rows.append((1.0, original[test], original[validation], None))
    frame = pd.DataFrame(rows, columns=["kept", "test", "validation", "damage"], dtype=float)
    shown = environment().get_template("sweep.html")
    return shown.render(
        found=found,
        columns=sweep_columns(found),
        uncounted=uncounted_sentence(found["uncounted"]) if found["uncounted"] else None,
        rows=sweep_rows(found),
        curve=sweep_curve(frame, BUDGETS[metric].title, measure),
    )
