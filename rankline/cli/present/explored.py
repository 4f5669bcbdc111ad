"""What ``explore`` made of networks, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rankline.cli.output import note, write_table
from rankline.cli.present.table import Shown, rounded
from rankline.src.dse.metric import LATENCY

if TYPE_CHECKING:
    from rankline.src.db.explore.network import Explored
    from rankline.src.dse.devices.device import Device

COLUMNS = ["network", "layers", "kept", "spaces", "computed now", "configurations", "lines", "seconds"]
LEAST_IMPORTANT = ["seconds", "computed now", "lines", "kept"]


def explored_entry(one: Explored, device: str | None) -> dict[str, Any]:
    """A network for JSON; with the name of a device, also its latency there, and the layers that are not in it."""
    entry = asdict(one)
    latency = {name: entry.pop(name) for name in ("latency_ps", "left_out")}
    return entry if device is None else {**entry, "device": device, **latency}


def write_explored(done: Sequence[Explored], db: str, device: Device | None, as_csv: bool) -> None:
    """A table of networks, with their latencies on a device if there is one, and notes on what these lack."""
    columns, rows = list(COLUMNS), [_row(one) for one in done]
    if device is not None:
        columns += ["latency (ps)", "latency without"] if as_csv else ["latency"]
        rows = [[*row, *_latency(one, as_csv)] for row, one in zip(rows, done, strict=True)]
    write_table(f"explored into {db}", columns, rows, least_important=LEAST_IMPORTANT, as_csv=as_csv)
    if device is None or as_csv:
        return
    note(f"latency: of a call of the whole network, as predicted for {device.title}")
    for one in done:
        if one.left_out:
            named = ", ".join(one.left_out)
            note(f"{one.network}: its latency is without {named}, which the device has no numbers for")


def _row(one: Explored) -> list[Any]:
    counts = [one.n_layers, one.n_kept, one.n_spaces, one.n_new_spaces, one.n_total, one.n_lines]
    return [one.network, *counts, rounded(one.seconds, 2)]


def _latency(one: Explored, as_csv: bool) -> list[Any]:
    if as_csv:
        return [one.latency_ps, one.left_out]
    least = "at least " if one.left_out else ""
    return [Shown(one.latency_ps, least + LATENCY.text(one.latency_ps or 0))]
