"""A compression before and after: what it saved, and what it cost."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from rankline.cli.output import note, tell_own_layers, write_table
from rankline.cli.present.latency import latency_values, tell_latency
from rankline.cli.present.table import Shown, rounded
from rankline.src.compress.compression import Compression
from rankline.src.compress.data.arrays import Arrays, rows_of
from rankline.src.compress.data.classifier import frozen_layers
from rankline.src.compress.deploy.timing import timed
from rankline.src.compress.model.files import save_model
from rankline.src.compress.training.fine_tuning import Score, inputs_for
from rankline.src.db.records.measure import SCORE, measure_of
from rankline.src.db.records.runs import FELL_SHORT, INTERRUPTED, TrialRecord
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.metric import LATENCY, MEMORY
from rankline.src.dse.network_cost import uncounted, uncounted_sentence
from rankline.src.dse.numbers import percent, points
from rankline.src.dse.plan import plan_to_json

LATENCY_BATCH = 32
LATENCY_SECONDS = 0.5

RUNTIME, RUNTIME_TITLE, RUNTIME_KEY = "litert", "LiteRT", "call_us"
"""What a demo's models are timed by."""

NO_GAIN = 0.95
"""Share of the original's time from which none is gained."""

TRAINED_ON = 0.03
"""Validation accuracy that exceeds test accuracy by more than this suggests training on the validation samples."""


def summary(done: Compression) -> dict[str, Any]:
    """The run's id and status, and for the original and the compressed model: accuracy (fractions) or another score,
    params, FLOPs and memory (bytes) of one sample, bytes on disk, and latency (ms) of one batch; and what both take on
    the run's device, if it has one.

    frozen: layers that were not fine-tuned; uncounted: layers whose FLOPs are unknown and not in the sums.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "original.keras"
        save_model(done.original, path)
        original_bytes = path.stat().st_size
    batch = rows_of(done.data.x_test, slice(LATENCY_BATCH))
    measure, delivered = done.measure, done.delivered
    figures = {
        "original": (done.run.original, done.original, delivered.original_test, original_bytes),
        "compressed": (done.run.chosen, done.model, delivered.test, delivered.bytes_on_disk),
    }
    return {
        "run": done.run.id,
        "status": done.run.status,
        "trials": len(done.trials) - 1,
        **({} if measure.is_accuracy else {SCORE: measure.as_dict()}),
        "frozen": frozen_layers(done.original),
        "uncounted": uncounted(describe(done.original).layers),
        "plan": json.loads(plan_to_json(done.plan)),
        "own_layers": list(done.delivered.own_layers),
        **({} if done.latency is None else {LATENCY.name: latency_values(done.latency)}),
        **{
            name: {
                "validation_accuracy": trial.accuracy,
                "test_accuracy": test and test.accuracy,
                **({} if measure.is_accuracy else _scores(trial, test)),
                "params": trial.cost.params,
                "flops": trial.cost.flops,
                "memory_bytes": MEMORY.of(trial.cost),
                "is_whole": trial.cost.is_whole,
                "bytes_on_disk": size,
                "latency_ms": 1000 * latency_s(model, batch),
            }
            for name, (trial, model, test, size) in figures.items()
        },
    }


def call_summary(done: Compression) -> dict[str, float]:
    """What a call of the original and of the compressed model takes in LiteRT, on one thread, in microseconds; empty,
    with a note, where that isn't installed."""
    from rankline.src.compress.deploy import runtimes
    from rankline.src.compress.deploy.latency import call_times

    runtime = runtimes.get(RUNTIME)
    try:
        runtime.check()
    except UserError as error:
        note(f"no time is told: {error}")
        return {}
    times = call_times({"original": done.original, "compressed": done.model}, runtime)
    return {name: time.minimum / 1e6 for name, time in times.items()}


def tell_call(times: Mapping[str, float]) -> None:
    """Why fewer FLOPs gain no time, where they don't."""
    if times and times["compressed"] > NO_GAIN * times["original"]:
        note(
            "no time is gained in a call: layers of so few channels fill no tile of the processor's kernels, which "
            "work on 8 or 16 at once, and each factor is one more operation; budget --keep-latency asks for time"
        )


def _scores(trial: TrialRecord, test: Score | None) -> dict[str, float | None]:
    """The values of a score that is no accuracy."""
    return {"validation_score": trial.metric, "test_score": None if test is None else test.metric}


def write_summary(found: dict[str, Any], as_csv: bool = False) -> None:
    """Writes the summary as a table or CSV, and remarks on it to standard error."""
    before, after = found["original"], found["compressed"]
    least = ", at least" if found["uncounted"] else ""
    measure = measure_of(found)
    validation, test = (f"{part}_{'accuracy' if measure.is_accuracy else 'score'}" for part in ("validation", "test"))
    labels = {
        validation: f"{measure.name}, validation",
        test: f"{measure.name}, test",
        "params": "params",
        "flops": f"FLOPs of a sample{least}",
        "memory_bytes": f"memory of a sample (bytes{least})",
        "bytes_on_disk": "file (bytes)",
        "latency_ms": f"latency of a batch of {LATENCY_BATCH} (ms)",
        **({RUNTIME_KEY: f"a call in {RUNTIME_TITLE}, one thread (us)"} if RUNTIME_KEY in before else {}),
    }
    rows: list[list[Any]] = []
    for key, label in labels.items():
        sides = [before[key], after[key]]
        if key in (validation, test):
            shown = [Shown(side, measure.text(side)) for side in sides]
            rows.append([label, *shown, Shown(sides[1] - sides[0], measure.change(sides[0], sides[1]))])
        else:
            growth = sides[1] / sides[0] - 1
            signed = f"{'+' if growth > 0 else ''}{percent(growth)}"
            shown = [rounded(side, 1 if key in ("latency_ms", RUNTIME_KEY) else 0) for side in sides]
            rows.append([label, *shown, Shown(growth, signed, sides[1] / sides[0])])
    trials = f"{found['trials']} trial{'' if found['trials'] == 1 else 's'}"
    title = f"run {found['run']}: {found['status']} after {trials}"
    write_table(title, ["", "original", "compressed", "change"], rows, as_csv=as_csv)
    if found["uncounted"]:
        note(uncounted_sentence(found["uncounted"]))
    tell_latency(found)
    tell_own_layers(found["own_layers"])
    if found["frozen"]:
        note(
            f"frozen (trainable=False), so neither they nor their factors were fine-tuned: {', '.join(found['frozen'])}"
        )
    gap = before[validation] - before[test] if measure.is_accuracy else 0.0
    if gap > TRAINED_ON:
        note(
            f"the original is {points(gap).lstrip('+')} better on the validation samples than on the test samples: it "
            "has probably been trained on them, and --max-drop is harder to keep; better give others, as x_validation "
            "and y_validation"
        )
    if found["status"] == FELL_SHORT:
        lost = f"loses {measure.change(after[validation], before[validation]).lstrip('+')} of validation accuracy"
        if not measure.is_accuracy:
            lost = f"takes the validation {measure.name} from {measure.text(before[validation])} to "
            lost += measure.text(after[validation])
        what = f"the best trial {lost}, more than --max-drop allows; it"
        if after["params"] == before["params"]:
            what = "every trial loses more than --max-drop allows; the original"
        note(
            f"FELL SHORT: {what} was written all the same. "
            "Try more --epochs, another --learning-rate, or more --max-trials"
        )
    if found["status"] == INTERRUPTED:
        note("INTERRUPTED: what was written is the best trial so far")


def latency_s(model: keras.Model, batch: Arrays) -> float:
    """Median seconds of one batch through the model, after a warm-up."""
    given = inputs_for(model, batch)
    times = timed({"batch": lambda: model.predict_on_batch(given)}, LATENCY_SECONDS)
    return times["batch"].median / 1e12
