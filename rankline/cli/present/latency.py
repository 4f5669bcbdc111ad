"""What a smaller model takes on a device, as plain values and for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rankline.cli.output import note
from rankline.cli.present.table import Shown, rounded
from rankline.src.dse.metric import LATENCY

if TYPE_CHECKING:
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
