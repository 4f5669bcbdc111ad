"""What models take on a device, as plain values and for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rankline.cli.output import note, write_table
from rankline.cli.present.table import Shown, rounded, share
from rankline.src.dse.metric import LATENCY

if TYPE_CHECKING:
    from rankline.src.compress.deploy.prediction import LayerTime, Prediction
    from rankline.src.compress.runs.latency import PlanLatency


LATENCY_COLUMNS = {
    False: ("latency, predicted", "latency, measured", "times faster"),
    True: ("predicted latency (ps)", "measured latency (ps)", "times faster"),
}
"""Of a table of trials, and (True) of CSV."""


def latency_cells(latency: PlanLatency | None) -> list[Any]:
    """The cells of a trial in these columns; empty where none is on record."""
    if latency is None:
        return [None, None, None]
    times = (latency.plan, latency.measured_plan)
    return [*(None if time is None else Shown(time, LATENCY.text(time)) for time in times), rounded(latency.speedup, 2)]


def latency_values(latency: PlanLatency) -> dict[str, Any]:
    """Its values, in picoseconds, with the sentence that ``tell_latency`` writes."""
    return {**latency.as_dict(), "told": latency.told}


def tell_latency(found: Mapping[str, Any], which: str = "") -> None:
    """Lines about the latency among the values of a model, if there is one. which: of several models."""
    latency = found.get(LATENCY.name)
    if latency is None:
        return
    note(f"{which}: {latency['told']}" if which else latency["told"])
    if latency["untimed"]:
        note(f"the device has no numbers for {', '.join(latency['untimed'])}: these are in no prediction")


def prediction_values(found: Prediction, model: str) -> dict[str, Any]:
    """A prediction with its layers, in picoseconds; the original's where a plan is applied."""
    before = {"original_latency_ps": found.original, "original_beside_ps": found.original_beside}
    return {
        "model": model,
        "device": found.device.name,
        "device_title": found.device.title,
        "layers": [_layer(one) for one in found.layers],
        "rest_ps": found.rest,
        "call_ps": found.call,
        "beside_ps": found.beside,
        "latency_ps": found.whole,
        **(before if found.is_planned else {}),
        "untimed": found.untimed,
    }


def _layer(one: LayerTime) -> dict[str, Any]:
    choice = one.choice
    return {
        "layer": one.layer,
        "method": None if choice is None else choice.method,
        "ranks": None if choice is None else list(choice.ranks),
        "shape": None if choice is None else choice.shape,
        "latency_ps": one.latency,
        "original_latency_ps": one.original,
    }


def write_prediction(found: dict[str, Any], as_csv: bool = False) -> None:
    """Writes the values of a prediction as a table or CSV, and what was measured to standard error."""
    whole, is_planned = found["latency_ps"], "original_latency_ps" in found
    rest, call, beside = found["rest_ps"], found["call_ps"], found["beside_ps"]
    rows = [
        [one["layer"], _choice(one), *_times(one["latency_ps"], one["original_latency_ps"], whole)]
        for one in found["layers"]
    ]
    rows += [
        ["what is beside the layers", None, *_times(rest, rest, whole)],
        ["a call, whatever it runs", None, *_times(call, call, whole)],
        ["weights that others displace", None, *_times(beside, found.get("original_beside_ps"), whole)],
    ]
    least = ", at least" if found["untimed"] else ""
    rows.append([f"whole model{least}", None, *_times(whole, found.get("original_latency_ps"), whole)])
    unit = " (ps)" if as_csv else ""
    columns = ["layer", "by", f"latency{unit}", "of the whole", f"as it is{unit}"]
    if not is_planned:
        rows, columns = [row[:-1] for row in rows], columns[:-1]
    write_table(f"{found['model']} on {found['device_title']}, predicted", columns, rows, as_csv=as_csv)
    if found["untimed"]:
        note(f"the device has no numbers for {', '.join(found['untimed'])}: these are in no sum")
    for name, one in found.get("measured", {}).items():
        which = "as it is, " if name == "original" else ""
        fastest, middle = (LATENCY.text(one[key]) for key in ("minimum_ps", "median_ps"))
        calls = f"median {middle}, spread {100 * one['spread']:.1f} %, {one['calls']} calls"
        note(f"{which}measured {fastest} ({calls}): predicted / measured is {one['predicted_over_measured']:.2f}")


def _choice(one: dict[str, Any]) -> str | None:
    if one["method"] is None:
        return None
    return f"{one['method']} {'x'.join(map(str, one['ranks']))} {one['shape'] or ''}".strip()


def _times(time: int | None, before: int | None, whole: int) -> list[Any]:
    shown, original = (None if one is None else Shown(one, LATENCY.text(one)) for one in (time, before))
    return [shown, None if time is None else share(time / max(1, whole), bar=True), original]
