"""A compression before and after: what it saved, and what it cost."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import keras

from rankline.cli.output import note, tell_own_layers, write_table
from rankline.cli.present.table import Shown, rounded, share
from rankline.src.compress.compression import Compression
from rankline.src.compress.data.classifier import frozen_layers
from rankline.src.compress.data.sets import Array
from rankline.src.compress.model.files import save_model
from rankline.src.db.records.runs import FELL_SHORT, INTERRUPTED
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.metric import MEMORY
from rankline.src.dse.network_cost import uncounted
from rankline.src.dse.numbers import percent, points
from rankline.src.dse.plan import plan_to_json

LATENCY_BATCH = 32
LATENCY_RUNS = 20

TRAINED_ON = 0.03
"""Validation accuracy that exceeds test accuracy by more than this suggests training on the validation samples."""


def summary(done: Compression) -> dict[str, Any]:
    """The run's id and status, and for the original and the compressed model: accuracy (fractions), params,
    FLOPs and memory (bytes) of one sample, bytes on disk, and latency (ms) of one batch.

    frozen: layers that were not fine-tuned; uncounted: layers whose FLOPs are unknown and not in the sums.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "original.keras"
        save_model(done.original, path)
        original_bytes = path.stat().st_size
    batch = done.data.x_test[:LATENCY_BATCH]
    figures = {
        "original": (done.run.original, done.original, done.delivered.original_accuracy, original_bytes),
        "compressed": (done.run.chosen, done.model, done.delivered.accuracy, done.delivered.bytes_on_disk),
    }
    return {
        "run": done.run.id,
        "status": done.run.status,
        "trials": len(done.trials) - 1,
        "frozen": frozen_layers(done.original),
        "uncounted": uncounted(describe(done.original).layers),
        "plan": json.loads(plan_to_json(done.plan)),
        "own_layers": list(done.delivered.own_layers),
        **{
            name: {
                "validation_accuracy": trial.accuracy,
                "test_accuracy": test,
                "params": trial.cost.params,
                "flops": trial.cost.flops,
                "memory_bytes": MEMORY.of(trial.cost),
                "bytes_on_disk": size,
                "latency_ms": 1000 * latency_s(model, batch),
            }
            for name, (trial, model, test, size) in figures.items()
        },
    }


def write_summary(found: dict[str, Any], as_csv: bool = False) -> None:
    """Writes the summary as a table or CSV, and remarks on it to standard error."""
    before, after = found["original"], found["compressed"]
    least = ", at least" if found["uncounted"] else ""
    labels = {
        "validation_accuracy": "accuracy, validation",
        "test_accuracy": "accuracy, test",
        "params": "params",
        "flops": f"FLOPs of a sample{least}",
        "memory_bytes": f"memory of a sample (bytes{least})",
        "bytes_on_disk": "file (bytes)",
        "latency_ms": f"latency of a batch of {LATENCY_BATCH} (ms)",
    }
    rows: list[list[Any]] = []
    for key, label in labels.items():
        sides = [before[key], after[key]]
        if key.endswith("accuracy"):
            rows.append([label, *map(share, sides), Shown(sides[1] - sides[0], points(sides[1] - sides[0]))])
        else:
            change = sides[1] / sides[0] - 1
            signed = f"{'+' if change > 0 else ''}{percent(change)}"
            shown = [rounded(side, 1 if key == "latency_ms" else 0) for side in sides]
            rows.append([label, *shown, Shown(change, signed, sides[1] / sides[0])])
    trials = f"{found['trials']} trial{'' if found['trials'] == 1 else 's'}"
    title = f"run {found['run']}: {found['status']} after {trials}"
    write_table(title, ["", "original", "compressed", "change"], rows, as_csv=as_csv)
    if found["uncounted"]:
        note(f"the FLOPs of {', '.join(found['uncounted'])} are not known, and not in the sums")
    tell_own_layers(found["own_layers"])
    if found["frozen"]:
        note(
            f"frozen (trainable=False), so neither they nor their factors were fine-tuned: {', '.join(found['frozen'])}"
        )
    gap = before["validation_accuracy"] - before["test_accuracy"]
    if gap > TRAINED_ON:
        note(
            f"the original is {points(gap).lstrip('+')} better on the validation samples than on the test samples: it "
            "has probably been trained on them, and --max-drop is harder to keep; better give others, as x_validation "
            "and y_validation"
        )
    if found["status"] == FELL_SHORT:
        lost = points(before["validation_accuracy"] - after["validation_accuracy"])
        what = f"the best trial loses {lost.lstrip('+')} of validation accuracy, more than --max-drop allows; it"
        if after["params"] == before["params"]:
            what = "every trial loses more than --max-drop allows; the original"
        note(
            f"FELL SHORT: {what} was written all the same. "
            "Try more --epochs, another --learning-rate, or more --max-trials"
        )
    if found["status"] == INTERRUPTED:
        note("INTERRUPTED: what was written is the best trial so far")


def latency_s(model: keras.Model, batch: Array) -> float:
    """Median seconds of one batch through the model, after a warm-up."""
    model.predict_on_batch(batch)
    times = []
    for _ in range(LATENCY_RUNS):
        started = perf_counter()
        model.predict_on_batch(batch)
        times.append(perf_counter() - started)
    return median(times)
