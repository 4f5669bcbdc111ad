"""What a smaller model takes on a device, as plain values and for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rankline.cli.output import note
from rankline.src.dse.metric import LATENCY

if TYPE_CHECKING:
    from rankline.src.compress.runs.latency import PlanLatency


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
