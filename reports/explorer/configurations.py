"""Configurations as text, the same on the command line and from a browser: ``tucker 3x8``."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rankline.src.dse.errors import UserError
from rankline.src.dse.precision import ELEMENT_BYTES, F32
from rankline.src.reports.explorer.devices import timed

if TYPE_CHECKING:
    from rankline.src.db.database import Database
    from rankline.src.db.queries.solution import Solution
    from rankline.src.dse.devices.device import Device

TEXT = re.compile(r"(?P<method>\w+) (?P<ranks>[1-9]\d{0,8}(x[1-9]\d{0,8}){0,3})( (?P<shape>[\dx:]{3,80}))?")


def as_text(solution: Solution) -> str:
    """Method, ranks and, for T3F, the tensor shape."""
    return str(solution.configuration)


def solution_of(
    database: Database,
    network: str,
    layer: str,
    text: Any,
    device: Device | None = None,
    precision: str = F32.name,
) -> Solution:
    """The layer's configuration for a text, with its latency if a device can tell it, and its memory at a precision.
    Raises UserError if there is no such configuration."""
    found = TEXT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise UserError(f"a configuration is a method with ranks, such as 'tucker 3x8'; got {str(text)[:60]!r}")
    ranks = [int(rank) for rank in found["ranks"].split("x")]
    solutions, _ = timed(database.solutions(layer, found["method"], network), device)
    return replace(solutions, bytes_per_element=ELEMENT_BYTES[precision]).configuration(ranks, found["shape"])
