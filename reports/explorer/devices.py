"""The device that a page asks."""

from __future__ import annotations

from typing import Any

from rankline.src.db.database import Database
from rankline.src.db.queries.solutions import Solutions
from rankline.src.dse.devices.device import Device
from rankline.src.dse.devices.latency import UnmeasuredError
from rankline.src.dse.errors import one_of
from rankline.src.reports.explorer.given import text

NONE = ""
"""What a page gives for no device; no device is called so."""


def device_named(database: Database, name: Any) -> Device | None:
    """The device that the picker names, without its measurements; None for none. Raises UserError for an unknown
    one."""
    if name is None or text("device", name) == NONE:
        return None
    known = {one.name: one for one in database.devices()}
    if name not in known:
        raise one_of("device", name, list(known))
    return known[name]


def timed(solutions: Solutions, device: Device | None) -> tuple[Solutions, str]:
    """The configurations with their latencies on a device; as they are, and why, where it has no numbers for them."""
    if device is None:
        return solutions, ""
    try:
        return solutions.on(device.model), ""
    except UnmeasuredError as error:
        return solutions, str(error)
