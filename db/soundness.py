"""What is wrong with a database: its pages, its schema, rows that refer to nothing, and counts that don't add up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select
from sqlalchemy.exc import DBAPIError

from rankline.src.db.backends.engine import connect, schema_version
from rankline.src.db.records.devices import device_of
from rankline.src.db.records.latencies import latencies
from rankline.src.db.records.networks import LayerRow, layer_row
from rankline.src.db.records.runs import STATUSES, layer_record
from rankline.src.db.schema import (
    IDS_PER_SPACE,
    MONOMIALS,
    device,
    latency,
    layer,
    layer_space,
    line,
    network,
    rank,
    run,
    space,
    spectrum,
    trial,
    trial_layer,
)
from rankline.src.db.version import SCHEMA_VERSION
from rankline.src.dse.error_table import from_bytes
from rankline.src.dse.errors import UserError
from rankline.src.dse.methods import METHODS
from rankline.src.dse.space import Space
from rankline.src.dse.symbols import layer_shape

COUNTS = ("n_lines", "n_total", "n_better", "n_useful")

LATENCY = ("space", "shape", "original", *MONOMIALS)
"""The columns of ``latency`` that follow from a device's numbers."""


def problems(connection: Connection) -> Iterator[str]:
    """What is wrong, one line each, as far as that is found without visiting every configuration.

    Of an older schema, only pages and references are looked at.
    """
    is_sqlite = connection.dialect.name == "sqlite"
    try:
        if is_sqlite:
            yield from _damaged_pages(connection)
        if schema_version(connection, str(connection.engine.url)) == SCHEMA_VERSION:
            if is_sqlite:
                yield from _other_schema(connection)
            yield from _wrong_counts(connection)
            yield from _misplaced_rows(connection)
            yield from _unreadable_rows(connection)
    except DBAPIError as error:
        yield str(error.orig)


def _damaged_pages(connection: Connection) -> Iterator[str]:
    for (verdict,) in connection.exec_driver_sql("PRAGMA integrity_check"):
        if verdict != "ok":
            yield str(verdict)
    for table, _, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield f"a row of {table} belongs to a row of {parent} that is not there"


def _other_schema(connection: Connection) -> Iterator[str]:
    """Differences from a database that is made now. Tables and views that somebody added are none, triggers are."""
    engine = connect("sqlite://")
    with engine.connect() as fresh:
        expected = _objects(fresh)
    found = _objects(connection)
    for kind, name in expected.keys() - found.keys():
        yield f"the {kind} {name} is missing"
    for kind, name in expected.keys() & found.keys():
        if found[kind, name] != expected[kind, name]:
            yield f"the {kind} {name} differs from that of schema {SCHEMA_VERSION}"
    for kind, name in found:
        if kind == "trigger":
            yield f"it has a trigger {name}, which Rankline never makes"


def _objects(connection: Connection) -> dict[tuple[str, str], object]:
    """Each table, index, view and trigger, with what it means: a migrated table is written in other words."""

    def rows(pragma: str, name: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in connection.exec_driver_sql(f'PRAGMA {pragma}("{name.replace(chr(34), "")}")')]

    found: dict[tuple[str, str], object] = {}
    listed = connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_master WHERE sql NOT NULL").all()
    for kind, name, sql in listed:
        if kind == "table":
            keys = {(table, column, other) for _, _, table, column, other, *_ in rows("foreign_key_list", name)}
            indexes = {
                (unique, partial, tuple(column for _, _, column in rows("index_info", index)))
                for _, index, unique, _, partial in rows("index_list", name)
            }
            traits = {tuple(row[4:]) for row in rows("table_list", name)}  # without rowids, strict
            found[kind, name] = (rows("table_xinfo", name), keys, indexes, traits)
        else:
            found[kind, name] = " ".join(sql.replace('"', "").split())
    return found


def _wrong_counts(connection: Connection) -> Iterator[str]:
    useful = func.sum(func.coalesce(line.c.use_hi - line.c.use_lo + 1, 0))
    sums = (func.count(), func.sum(line.c.cap), func.sum(line.c.better), useful)
    columns = [one.label(name) for one, name in zip(sums, COUNTS, strict=True)]
    counted = {row.space: row for row in connection.execute(select(line.c.space, *columns).group_by(line.c.space))}
    for row in connection.execute(select(space)):
        for name in COUNTS:
            on_lines = getattr(counted[row.id], name) if row.id in counted else 0
            if on_lines != getattr(row, name):
                yield (
                    f"space {row.id} ({row.method}) has {name} {on_lines:,} on its lines, {getattr(row, name):,} on "
                    "record"
                )
    layers = select(func.count()).where(layer.c.network == network.c.id)
    links = select(func.count()).select_from(layer_space).join(layer).where(layer.c.network == network.c.id)
    for name, n_layers, n_links, found_layers, found_links in connection.execute(
        select(network.c.name, network.c.n_layers, network.c.n_links, layers.scalar_subquery(), links.scalar_subquery())
    ):
        if n_layers != found_layers:
            yield f"network '{name}' has {found_layers:,} layers, {n_layers:,} on record"
        if n_links != found_links:
            yield f"the layers of network '{name}' have {found_links:,} spaces, {n_links:,} on record"
    ranks, least, most = connection.execute(select(func.count(), func.min(rank.c.r), func.max(rank.c.r))).one()
    needed = connection.execute(select(func.max(line.c.cap))).scalar() or 0
    if (ranks and (least, most) != (1, ranks)) or ranks < needed:
        yield "numbers are missing in the table rank, so the view configuration would leave out configurations"


def _misplaced_rows(connection: Connection) -> Iterator[str]:
    def some(query: Select[Any]) -> bool:
        return connection.execute(query.limit(1)).first() is not None

    first = line.c.space * IDS_PER_SPACE
    if some(select(line.c.id).where(or_(line.c.id < first, line.c.id >= first + IDS_PER_SPACE))):
        yield "a line's id is not among those of its space"
    per_method = select(layer_space.c.layer).join(space).group_by(layer_space.c.layer, space.c.method)
    if some(per_method.having(func.count() > 1)):
        yield "a layer has two spaces of one method"
    tried = select(trial.c.id).join(run).join(trial_layer, trial_layer.c.trial == trial.c.id)
    if some(tried.join(layer, and_(layer.c.id == trial_layer.c.layer, layer.c.network != run.c.network))):
        yield "a trial has a layer of another network"


def _unreadable_rows(connection: Connection) -> Iterator[str]:
    """Rows whose text or bytes can't be read, and spaces that are not of their layer's shape."""
    layers: dict[int, LayerRow] = {}
    spaces: dict[int, Space] = {}
    for row in connection.execute(select(layer)).mappings():
        try:
            layers[row["id"]] = layer_row(dict(row))
        except (ValueError, TypeError):
            yield f"layer {row['id']} ('{row['name']}') can't be read"
    for row in connection.execute(select(space.c.id, space.c.method, space.c.options)).mappings():
        try:
            found = Space.from_definition(json.loads(row["options"]))
        except (ValueError, TypeError, KeyError):
            yield f"space {row['id']} can't be read"
            continue
        spaces[row["id"]] = found
        if found.method != row["method"]:
            yield f"space {row['id']} is one of {found.method}, not of {row['method']}"
    shapes = {key: None if one.kept_because else layer_shape(one.shape) for key, one in layers.items()}
    for one, of in connection.execute(select(layer_space.c.layer, layer_space.c.space)):
        if one in shapes and of in spaces and shapes[one] != spaces[of].shape:
            yield f"space {of} is not one of layer '{layers[one].name}', which it belongs to"
    for row in connection.execute(select(run.c.id, run.c.status, run.c.settings)).mappings():
        try:
            whole = isinstance(json.loads(row["settings"]), dict)
        except ValueError:
            whole = False
        if not whole or row["status"] not in STATUSES:
            yield f"run {row['id']} can't be read"
    yield from _unreadable_trials(connection)
    yield from _wrong_devices(connection, spaces)
    for row in connection.execute(select(spectrum.c.id, spectrum.c.table)).mappings():
        try:
            from_bytes(row["table"])
        except Exception:  # whatever NumPy raises over damaged bytes
            yield f"the errors of spectrum {row['id']} can't be read"


def _wrong_devices(connection: Connection, spaces: Mapping[int, Space]) -> Iterator[str]:
    """Devices that can't be read, and latencies on others that don't follow from the devices' numbers."""
    for row in connection.execute(select(device)).mappings():
        try:
            model = device_of(dict(row)).model
        except UserError as error:
            yield str(error)
            continue
        stored = connection.execute(select(latency).where(latency.c.device == row["id"])).mappings()
        found, wanted = (
            {tuple(one[name] for name in LATENCY) for one in rows} for rows in (stored, latencies(model, spaces))
        )
        for space_id in sorted({key for key, *_ in found ^ wanted}):
            yield f"the latencies of space {space_id} on device '{row['name']}' are not those of its numbers"


def _unreadable_trials(connection: Connection) -> Iterator[str]:
    """Layers of trials that can't be read, by trial, and names that nothing could be found by."""
    for row in connection.execute(select(trial_layer)).mappings():
        try:
            one = layer_record({**row, "layer": ""}).configuration
            whole = one is None or (one.method in METHODS and all(isinstance(rank, int) for rank in one.ranks))
        except (ValueError, TypeError):
            whole = False
        if not whole:
            yield f"a layer of trial {row['trial']} can't be read"
    for table in (network, layer):
        for key, name in connection.execute(select(table.c.id, table.c.name)):
            if not str(name).strip() or "\0" in str(name):
                yield f"{table.name} {key} has no name"
