"""What a budget kept and lost, as plain values and for people."""

from __future__ import annotations

import json
from typing import Any

from rankline.cli.output import note, tell_own_layers, write_table
from rankline.cli.present.latency import latency_values, tell_latency
from rankline.cli.present.table import share
from rankline.src.compress.budget.allocate import Allocation
from rankline.src.compress.budget.calibrated_model import LEFT_OUT, by_reason
from rankline.src.compress.budget.on_device import TOLERANCE
from rankline.src.compress.budget.run import Budgeted, Point
from rankline.src.compress.data.memory import peak_bytes
from rankline.src.compress.training.fine_tuning import Score
from rankline.src.db.records.measure import SCORE, measure_of
from rankline.src.db.records.runs import TrialRecord
from rankline.src.dse.cost import Cost
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.metric import BUDGETS, BYTES, FLOPS, LATENCY, MEMORY, PARAMS
from rankline.src.dse.network_cost import uncounted, uncounted_sentence
from rankline.src.dse.numbers import percent
from rankline.src.dse.plan import plan_to_json
from rankline.src.reports.report.sweep import LEAST_IMPORTANT, sweep_columns, sweep_rows
from rankline.src.reports.report.sweep import as_csv as sweep_csv

UNITS = {
    "damage": "squared error of the logits",
    "energy": "shares of the outputs' energy",
    "uniform": "shares of the weights' energy",
}

EXACT = 1e-6
"""Gaps up to this are rounding."""

SHARES = ("flops", "params", "memory")
"""The metrics whose kept shares are reported."""


def budget_summary(done: Budgeted) -> dict[str, Any]:
    """The run's id and settings, the figures of the original, and those of each point with its layers and plan.

    Accuracies are fractions (None: no labels), damages are in the unit of ``value``, seconds are totals by part of the
    work; skipped: why layers couldn't change.
    """
    settings = done.settings
    return {
        "run": done.run,
        "network": done.network,
        **{name: settings[name] for name in ("value", "fit", "solver", "samples", "methods", "is_sweep")},
        "damage_unit": UNITS[settings["value"]],
        "fine_tuned": settings["fine_tuning"] is not None,
        "labels": done.calibration.data is not None,
        **({} if measure_of(settings).is_accuracy else {SCORE: measure_of(settings).as_dict()}),
        "uncounted": uncounted(describe(done.original).layers),
        "skipped": dict(done.skipped),
        "seconds": dict(done.seconds),
        "original": {
            **_costs(done.total),
            "validation_accuracy": done.before.accuracy,
            "test_accuracy": None if done.test is None else done.test.accuracy,
            **_scores(done, done.before, done.test),
        },
        "points": [_point(done, one) for one in done.points],
    }


def _point(done: Budgeted, point: Point) -> dict[str, Any]:
    allocation = point.allocation
    return {
        "keep": dict(point.keep),
        **_costs(allocation.cost),
        "kept": {
            **{name: BUDGETS[name].of(allocation.cost) / (BUDGETS[name].of(done.total) or 1) for name in SHARES},
            **({} if point.latency is None else {LATENCY.name: 1 / point.latency.speedup}),
            **_bytes_kept(done, point),
        },
        "damage": allocation.damage,
        "gap": allocation.gap,
        "solver": allocation.solver,
        "validation_accuracy": point.trial.accuracy,
        "test_accuracy": None if point.test is None else point.test.accuracy,
        **_scores(done, point.trial, point.test),
        "file": None if point.file is None else str(point.file),
        "bytes_on_disk": None if point.file is None else point.file.stat().st_size,
        "own_layers": list(point.delivered.own_layers),
        "fit_seconds": point.fit_seconds,
        **({} if point.latency is None else {LATENCY.name: latency_values(point.latency)}),
        **({} if point.measured is None else {"deployed": {**point.measured.as_dict(), "told": point.measured.told}}),
        "layers": _layers(done, allocation),
        "plan": json.loads(plan_to_json(point.plan)),
    }


def _bytes_kept(done: Budgeted, point: Point) -> dict[str, float]:
    """The share of the original's file that a budget of bytes left."""
    if point.measured is None or BYTES.name not in point.keep:
        return {}
    return {BYTES.name: point.measured.bytes / (done.total.stored or 1)}


def _scores(done: Budgeted, trial: TrialRecord, test: Score | None) -> dict[str, Any]:
    """The values of a score that is no accuracy."""
    if measure_of(done.settings).is_accuracy:
        return {}
    return {"validation_score": trial.metric, "test_score": None if test is None else test.metric}


def _costs(cost: Cost) -> dict[str, int | bool]:
    return {
        "params": cost.params,
        "fm": cost.fm,
        "flops": cost.flops,
        "memory_bytes": MEMORY.of(cost),
        "is_whole": cost.is_whole,
    }


def _layers(done: Budgeted, allocation: Allocation) -> list[dict[str, Any]]:
    """Each layer that might change: its choice, the shares it keeps of its own cost, and its share of the damage."""
    rows = []
    for path, option in allocation.options.items():
        before, choice = done.originals[path], option.configuration
        rows.append(
            {
                "layer": path,
                "method": None if choice is None else choice.method,
                "ranks": None if choice is None else list(choice.ranks),
                "shape": None if choice is None else choice.shape,
                "kept": {one.name: one.of(option.cost) / one.of(before) for one in (FLOPS, PARAMS)},
                "damage": option.damage,
                "damage_share": option.damage / allocation.damage if allocation.damage else 0.0,
            }
        )
    return rows


def write_budget(found: dict[str, Any], as_csv: bool = False) -> None:
    """Writes the summary as a table or CSV, and remarks on it to standard error."""
    if found["is_sweep"]:
        _write_sweep(found, as_csv)
    else:
        _write_point(found, found["points"][0], as_csv)
    if not found["labels"]:
        note("no accuracy is known: the calibration data has no labels")
    if found["uncounted"]:
        note(f"{uncounted_sentence(found['uncounted'])}: shares are of what is known")
    for point in found["points"]:
        _tell_latency(point, found["is_sweep"])
        _tell_deployed(point)
        tell_own_layers(point["own_layers"], point["file"] if found["is_sweep"] else None)
    # Layers that the user left out need no reason.
    beyond = {name: reason for name, reason in found.get("skipped", {}).items() if reason != LEFT_OUT}
    if beyond:
        note(f"left as they are: {by_reason(beyond)}")
    seconds = found["seconds"]
    note(
        f"{seconds['statistics']:.1f} s of statistics, {seconds['allocation']:.2f} s of allocation, "
        f"{seconds['fit']:.1f} s of fitting, on {found['samples']:,} samples; {peak_bytes() / 2**30:.1f} GiB of memory"
    )


def _tell_deployed(point: dict[str, Any]) -> None:
    """A line about the file for a runtime, if one was written."""
    if "deployed" in point:
        note(point["deployed"]["told"])


def _tell_latency(point: dict[str, Any], is_sweep: bool) -> None:
    """What a model takes on the device, and the way out where it is slower than the original."""
    tell_latency(point, ", ".join(f"{name} {value:g}" for name, value in point["keep"].items()) if is_sweep else "")
    latency = point.get(LATENCY.name)
    if latency is not None and latency["excess"] > TOLERANCE:
        note(
            f"it is {percent(latency['excess'])} above the budget: the device's numbers are too kind to this network; "
            "ask for less, or measure the device again"
        )
    if latency is not None and latency["speedup"] < 1 and LATENCY.name not in point["keep"]:
        note("it is slower than the original: ask for time itself, with --keep-latency 0.5")


def headline(found: dict[str, Any], point: dict[str, Any]) -> str:
    """One line: what is kept, and the change in accuracy or score."""
    metrics = dict.fromkeys((*point["keep"], "flops", "params"))
    known = "known " if found["uncounted"] else ""
    kept = " and ".join(
        f"{percent(point['kept'][metric])} of the {'' if metric == 'params' else known}{BUDGETS[metric].title}"
        for metric in metrics
    )
    measure = measure_of(found)
    key = "test_accuracy" if measure.is_accuracy else "test_score"
    before, after = found["original"][key], point[key]
    line = f"run {found['run']}: {kept} kept"
    if before is not None and after is not None:
        told = f"{measure.text(before)} → {measure.text(after)} ({measure.change(before, after)})"
        line += f", test {measure.name} {told}"
    return f"{line}, {'fine-tuned' if found['fine_tuned'] else 'without training'}"


def exactness(point: dict[str, Any], value: str) -> str:
    """The predicted damage, and how far above the least possible it can be."""
    gap = point["gap"]
    least = "the least possible" if gap <= EXACT else f"at most {max(0.1, 100 * gap):.1f} % above the least possible"
    return f"predicted damage {point['damage']:.3g} ({UNITS[value]}): {least}, by the {point['solver']} solver"


def _write_point(found: dict[str, Any], point: dict[str, Any], as_csv: bool) -> None:
    rows = [
        [
            one["layer"],
            choice_text(one),
            share(one["kept"]["flops"], bar=True),
            share(one["kept"]["params"]),
            share(one["damage_share"], bar=True),
        ]
        for one in point["layers"]
    ]
    kept = [share(point["kept"][metric], bar=metric == "flops") for metric in ("flops", "params")]
    rows.append(["whole model", None, *kept, None])
    columns = ["layer", "by", "FLOPs kept", "params kept", "of the damage"]
    unasked = [f"{BUDGETS[metric].title} kept" for metric in ("params", "flops") if metric not in point["keep"]]
    write_table(headline(found, point), columns, rows, least_important=unasked, as_csv=as_csv)
    note(exactness(point, found["value"]))


def _write_sweep(found: dict[str, Any], as_csv: bool) -> None:
    tuned = "fine-tuned" if found["fine_tuned"] else "without training"
    title = f"run {found['run']}: a sweep of {len(found['points'])} budgets, {tuned}"
    if as_csv:
        print(sweep_csv(found), end="")
    else:
        write_table(title, sweep_columns(found), sweep_rows(found), least_important=LEAST_IMPORTANT)
    gap = max(point["gap"] for point in found["points"])
    if gap > EXACT:
        note(f"predicted damages are at most {max(0.1, 100 * gap):.1f} % above the least possible")


def choice_text(one: dict[str, Any]) -> str:
    """A layer's choice as text: ``tucker 3x8``."""
    if one["method"] is None:
        return "as it was"
    return f"{one['method']} {'x'.join(map(str, one['ranks']))} {one['shape'] or ''}".strip()
