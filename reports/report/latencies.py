"""What a network takes on the devices of the database, layer by layer, and what its run predicted and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rankline.src.db.database import Database
from rankline.src.dse.devices.by_layer import NetworkTimes, network_times
from rankline.src.dse.devices.device import Device
from rankline.src.dse.metric import LATENCY
from rankline.src.dse.numbers import change, percent
from rankline.src.reports.report.layers import ReportedLayer
from rankline.src.reports.report.outcome import Outcome
from rankline.src.reports.report.table import Column, Table, counted

RECORDED = "latency"
"""Key of what made a trial: what its plan takes on the run's device."""

REST = "Predicted for a call: it takes {call} and what its layers take, without what the network does beside them."


@dataclass(frozen=True)
class DeviceTimes:
    """A device, and the latencies of the network's layers on it, in their order; ``has_plan``: also with the choices
    of a run."""

    device: Device
    times: NetworkTimes
    has_plan: bool


def device_times(
    database: Database, layers: Sequence[ReportedLayer], result: Outcome | None, device: str | None, params: int
) -> list[DeviceTimes]:
    """The latencies on each device of the database, or on the one that is named. params: the network's weights. Raises
    UserError."""
    devices = database.devices() if device is None else [database.device(device)]
    plan = {one.name: one.choice.configuration for one in layers if one.choice and one.choice.configuration}
    shapes = [one.shape for one in layers]
    has_plan = result is not None and result.best is not None
    left = params if result is None or result.best is None else result.best.cost.params
    return [DeviceTimes(one, network_times(one.model, shapes, plan, (params, left)), has_plan) for one in devices]


def recorded_latency(result: Outcome | None, device: str | None) -> Mapping[str, Any] | None:
    """What the run recorded of its plan (see ``PlanLatency.as_dict``); None without, and of another device than the
    one that is named."""
    found = None if result is None or result.best is None else result.best.made_by.get(RECORDED)
    if not isinstance(found, Mapping) or device not in (None, found["device"]):
        return None
    return found


def trust(device: Device) -> str:
    """How well a device predicts, in a sentence."""
    return (
        f"Of operations that its numbers were not fitted to, half are predicted within {percent(device.fit.median)}, "
        f"and 90 % within {percent(device.fit.p90)}."
    )


def latency_tables(found: Sequence[DeviceTimes], recorded: Mapping[str, Any] | None) -> list[Table]:
    """What the run recorded, then a table for each device."""
    tables = [_device_table(of, number) for number, of in enumerate(found, start=1)]
    return tables if recorded is None else [_recorded_table(recorded), *tables]


def _device_table(of: DeviceTimes, number: int) -> Table:
    """A row for each layer, and one for the whole network; with a run, also its plan."""
    device, times = of.device, of.times
    rows = [_row(one.layer, one.before, one.after) for one in times.layers]
    least = ", at least" if times.untold else ""
    rows.append(_row(f"whole network{least}", times.before, times.after))
    notes = [f"{trust(device)} {REST.format(call=LATENCY.text(device.model.call))}"]
    if times.untold:
        notes.append(f"The device has no numbers for {', '.join(times.untold)}: not in the sum.")
    if times.unplanned:
        notes.append(f"The device has no numbers for the choices of {', '.join(times.unplanned)}.")
    columns = [Column("layer", "layer"), _timed("before", "original" if of.has_plan else "latency")]
    if of.has_plan:
        columns += [_timed("after", "with the plan"), Column("reduction", "change", change, number=True)]
    return Table(f"latency-{number}", f"Latency on {device.title}", columns, rows, notes)


def _recorded_table(found: Mapping[str, Any]) -> Table:
    """What the run itself predicted and measured: of the original, and of each plan that it tried."""
    rows = [_tried("original", None, found["predicted_original_ps"], found["measured_original_ps"])]
    *before, last = [*found["rounds"]] or [{"limit_ps": None}]
    for number, one in enumerate(before, start=1):
        rows.append(_tried(f"plan {number}, too slow", one["limit_ps"], one["predicted_ps"], one["measured_ps"]))
    rows.append(_tried("chosen plan", last["limit_ps"], found["predicted_ps"], found["measured_ps"]))
    columns = [Column("model", "model"), _timed("allowed", "allowed"), _timed("predicted", "predicted")]
    columns.append(_timed("measured", "measured"))
    shown = [one for one in columns if any(row[one.key] is not None for row in rows)]
    faster = found["speedup"]
    notes = [f"{faster:.2f} times faster." if faster >= 1 else f"{1 / faster:.2f} times slower."]
    notes[0] += " A run also counts what the network does beside its layers."
    if found["untimed"]:
        notes.append(f"The device has no numbers for {', '.join(found['untimed'])}: in no prediction.")
    return Table("run-latency", f"Latency on {found['device']} in the run", shown, rows, notes)


def latency_columns(of: DeviceTimes) -> list[Column]:
    """The columns of a table for machines, a row a layer: with the device in their names."""
    keys = ["latency_ps", *(["latency_ps_after"] if of.has_plan else [])]
    return [counted(f"{key} {of.device.name}", key) for key in keys]


def latency_values(of: DeviceTimes, place: int, is_chosen: bool) -> dict[str, int | None]:
    """The values of the layer at a place in these columns; the one after is None without a choice in the run."""
    one = of.times.layers[place]
    values = [one.before, *([one.after if is_chosen else None] if of.has_plan else [])]
    return {column.key: value for column, value in zip(latency_columns(of), values, strict=True)}


def _row(layer: str, before: int | None, after: int | None) -> dict[str, Any]:
    saved = 1 - after / before if before and after is not None else None
    return {"layer": layer, "before": before, "after": after, "reduction": saved}


def _tried(model: str, allowed: int | None, predicted: int, measured: int | None) -> dict[str, Any]:
    return {"model": model, "allowed": allowed, "predicted": predicted, "measured": measured}


def _timed(key: str, title: str) -> Column:
    return Column(key, title, LATENCY.text, number=True)
