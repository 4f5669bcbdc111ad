"""What makes the latency of each configuration of a space on a device: a few integers, which a view evaluates.

They follow from the device's numbers and the operations of chains, so a change of either needs a migration that writes
them anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, insert, select

from rankline.src.db.schema import MONOMIALS, latency
from rankline.src.db.schema import space as space_table
from rankline.src.dse.devices.latency import TILED, LatencyModel, TiledPolynomial
from rankline.src.dse.devices.operations import chain_operations, original_operations
from rankline.src.dse.errors import UserError
from rankline.src.dse.space import LARGEST_COUNT, Space

Rows = list[dict[str, Any]]
"""Rows of the table ``latency`` without their device: a row for each tensor shape of a space."""


def latencies(model: LatencyModel, spaces: Mapping[int, Space]) -> Rows:
    """The rows of spaces, given by id. A space has none if the device has no numbers for an operation of its chains, or
    if a latency does not fit into 64 bits."""
    return [row for key, space in spaces.items() for row in _rows(model, key, space)]


def stored_spaces(connection: Connection, leave_out: Iterable[int] = ()) -> dict[int, Space]:
    """The spaces in the database by id, but for some."""
    known = set(leave_out)
    rows = connection.execute(select(space_table.c.id, space_table.c.options)).all()
    return {row.id: Space.from_definition(json.loads(row.options)) for row in rows if row.id not in known}


def write_latencies(connection: Connection, device: int, rows: Rows) -> None:
    """Stores the rows of a device, given by its id."""
    if rows:
        connection.execute(insert(latency), [{"device": device, **row} for row in rows])


def _rows(model: LatencyModel, key: int, space: Space) -> Rows:
    found: Rows = []
    try:
        for branch in space.branches:
            operations = chain_operations(space.shape, space.method, len(branch.caps), branch.shape)
            latency_of = model.polynomial(operations)
            if latency_of.at(branch.caps) > LARGEST_COUNT:
                return []
            terms = {_NAMES[mask]: one for mask, one in zip(latency_of.masks, latency_of.coefficients, strict=True)}
            found.append({"space": key, "shape": branch.shape or "", **_NOTHING, **terms})
    except UserError:
        return []
    original = _original(model, space)
    return [{**row, "original": original} for row in found]


def _original(model: LatencyModel, space: Space) -> int | None:
    """The latency of the layer as it is; None if that is not known."""
    try:
        found: TiledPolynomial = model.polynomial(original_operations(space.shape))
    except UserError:
        return None
    return one if (one := found.at(())) <= LARGEST_COUNT else None


def _mask(name: str) -> int:
    """The mask of a column's ranks and numbers of tiles, as ``TiledPolynomial`` has it."""
    places = (int(part[1:]) - 1 + TILED * (part[0] == "t") for part in name.split("_")[1:])
    return sum(1 << place for place in places)


_NAMES = {_mask(name): name for name in MONOMIALS}
_NOTHING = dict.fromkeys(MONOMIALS, 0)
