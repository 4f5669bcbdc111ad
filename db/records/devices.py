"""The stored devices, with what they were measured to take, and the latencies of every space on each."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select

from rankline.src.db.backends.engine import writing
from rankline.src.db.records.latencies import latencies, stored_spaces, write_latencies
from rankline.src.db.schema import device as device_table
from rankline.src.db.schema import latency
from rankline.src.dse.devices.device import COUNTS, FORMAT, TEXTS, Device, device_from
from rankline.src.dse.devices.latency import LatencyModel
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.json_file import MOST_BYTES, parsed

QUICK = [column for column in device_table.columns if column.name != "measured"]
"""All columns but the large one."""


def save_device(engine: Engine, device: Device, replace: bool = False) -> None:
    """Stores a device with the latencies of all stored spaces, in one transaction.

    Raises UserError for a name that is taken, unless the device of that name is to be replaced, and for a device that
    could not be read back.
    """
    device_from(device.as_dict())
    row = _row(device)
    with engine.connect() as connection:
        _check_new(connection, device.name, replace)
        spaces = stored_spaces(connection)
    rows = latencies(device.model, spaces)
    with writing(engine).begin() as connection:
        _check_new(connection, device.name, replace)
        _delete(connection, device.name)
        key = connection.execute(insert(device_table).values(**row).returning(device_table.c.id)).scalar_one()
        write_latencies(connection, key, rows)
        write_latencies(connection, key, latencies(device.model, stored_spaces(connection, leave_out=spaces)))


def device_named(engine: Engine, name: str) -> Device:
    """The device of that name, with its measurements. Raises UserError naming the known ones."""
    with engine.connect() as connection:
        row = connection.execute(select(device_table).where(device_table.c.name == name)).mappings().first()
        if row is None:
            raise _unknown(connection, name)
    return device_of(dict(row))


def devices(engine: Engine, measured: bool = False) -> list[Device]:
    """All devices by name; with their measurements only if they are asked for, which takes longer."""
    query = select(*(device_table.columns if measured else QUICK)).order_by(device_table.c.name)
    with engine.connect() as connection:
        return [device_of(dict(row)) for row in connection.execute(query).mappings()]


def models(connection: Connection) -> dict[int, LatencyModel]:
    """The numbers of every device, by its id."""
    rows = connection.execute(select(*QUICK)).mappings()
    return {row["id"]: device_of(dict(row)).model for row in rows}


def remove_device(engine: Engine, name: str) -> None:
    """Removes a device and the latencies on it. Raises UserError naming the known ones."""
    with writing(engine).begin() as connection:
        if not _delete(connection, name):
            raise _unknown(connection, name)


def device_of(row: Mapping[str, Any]) -> Device:
    """The device in a row of the table, which may lack ``measured``. Raises UserError for one that can't be read."""
    try:
        return device_from(
            {
                "format": FORMAT,
                **{name: row[name] for name in (*TEXTS, *COUNTS, "tile")},
                "pads": bool(row["pads"]),
                "call": row["call_ps"],
                "numbers": parsed(row["numbers"]),
                "cold": parsed(row["cold"]),
                "fit": {name: row[f"fit_{name}"] for name in ("median", "p90", "count")},
                "measured": _unpacked(row["measured"]) if "measured" in row else [],
            }
        )
    except (UserError, zlib.error) as error:
        raise UserError(f"device '{row['name']}' can't be read: {error}") from error


def _row(device: Device) -> dict[str, Any]:
    entry = device.as_dict()
    return {
        **{name: entry[name] for name in (*TEXTS, *COUNTS, "tile")},
        "pads": int(device.model.pads),
        "call_ps": device.model.call,
        "numbers": json.dumps(entry["numbers"]),
        "cold": json.dumps(entry["cold"]),
        **{f"fit_{name}": value for name, value in entry["fit"].items()},
        "measured": zlib.compress(json.dumps(entry["measured"]).encode()),
    }


def _unpacked(packed: bytes) -> Any:
    stream = zlib.decompressobj()
    text = stream.decompress(packed, MOST_BYTES)
    if not stream.eof:
        raise UserError("its measurements are cut short")
    return parsed(text)


def _check_new(connection: Connection, name: str, replace: bool) -> None:
    if not replace and connection.execute(select(device_table.c.id).where(device_table.c.name == name)).first():
        raise UserError(f"the database has a device '{name}' already; give another name, or replace it (--replace)")


def _delete(connection: Connection, name: str) -> bool:
    """Whether there was one."""
    key = select(device_table.c.id).where(device_table.c.name == name).scalar_subquery()
    connection.execute(delete(latency).where(latency.c.device == key))
    return bool(connection.execute(delete(device_table).where(device_table.c.name == name)).rowcount)


def _unknown(connection: Connection, name: str) -> UserError:
    known = connection.execute(select(device_table.c.name)).scalars().all()
    return one_of("device", name, list(known))
