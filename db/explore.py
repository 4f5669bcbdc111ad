"""Exploring a network: its layers into the database, and every space of them that does not stand yet."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from time import perf_counter

from sqlalchemy import Connection, Engine, delete, insert, select

from db.engine import connect, is_in_memory, writing
from db.schema import layer as layer_table
from db.schema import layer_space, network
from db.schema import space as space_table
from db.write import stored_spaces, write_space
from dse.errors import UserError
from dse.layer import Layer
from dse.options import Options
from dse.space import Space, spaces_of
from dse.totals import known_cost, network_cost

Progress = Callable[[str, int, int], None]
"""Called with a label, what is done and what there is in all (in configurations)."""

LINES_WORTH_PROCESSES = 1_500_000
"""Fewer lines are written sooner by one process: others take seconds to start, and writers take turns."""


@dataclass(frozen=True)
class Explored:
    """What ``explore`` did: the network's name, its counts, and how much of it was computed now."""

    network: str
    n_layers: int
    n_kept: int
    n_spaces: int
    n_new_spaces: int
    n_total: int
    n_lines: int
    seconds: float


def spaces_to_explore(layers: Sequence[Layer], methods: tuple[str, ...] | None, options: Options) -> list[list[Space]]:
    """The spaces of each layer. Raises UserError where one is too large, before anything is computed or written."""
    spaces = [spaces_of(layer, methods, options) for layer in layers]
    for space in {space.digest: space for group in spaces for space in group}.values():
        space.check_size()
    return spaces


def explore_layers(
    engine: Engine,
    layers: Sequence[Layer],
    spaces: Sequence[Sequence[Space]],
    name: str,
    source: str,
    input_shape: Sequence[Sequence[int | None]],
    params: int,
    progress: Progress,
) -> Explored:
    """Stores the network, its layers and all their spaces; spaces that stand are not computed again.

    Each space is one transaction, the network with its links the last one: a killed process leaves whole
    spaces and no network, and exploring again goes on from there.
    Raises UserError where the name is taken.
    """
    started = perf_counter()
    digest = _digest(name, layers, input_shape)
    with engine.connect() as connection:
        _check_name(connection, name, digest)
    distinct = {space.digest: space for group in spaces for space in group}
    with engine.connect() as connection:
        ids = stored_spaces(connection, list(distinct))
    missing = {key: space for key, space in distinct.items() if key not in ids}
    ids |= _compute(engine, missing, progress)
    with writing(engine).begin() as connection:
        _store_network(connection, name, source, digest, input_shape, params, layers)
        _link(connection, name, layers, [[ids[space.digest] for space in group] for group in spaces])
    return Explored(
        network=name,
        n_layers=sum(not layer.kept_because for layer in layers),
        n_kept=sum(bool(layer.kept_because) for layer in layers),
        n_spaces=len(distinct),
        n_new_spaces=len(missing),
        n_total=sum(space.n_total for space in distinct.values()),
        n_lines=sum(space.n_lines for space in distinct.values()),
        seconds=perf_counter() - started,
    )


def _compute(engine: Engine, missing: Mapping[str, Space], progress: Progress) -> dict[str, int]:
    """Computes and writes the spaces that do not stand, several processes at once where there is much to do."""
    total = sum(space.n_total for space in missing.values())
    largest_first = sorted(missing.items(), key=lambda item: -item[1].n_lines)
    ids, done = {}, 0
    for digest, key in _written(engine, largest_first):
        ids[digest] = key
        done += missing[digest].n_total
        progress(f"{missing[digest].method} spaces", done, total)
    return ids


def _written(engine: Engine, spaces: Sequence[tuple[str, Space]]) -> Iterator[tuple[str, int]]:
    """Digest and id of each space once it is written, in any order."""
    n_lines = sum(space.n_lines for _, space in spaces)
    cores = os.cpu_count() or 1
    if cores == 1 or n_lines < LINES_WORTH_PROCESSES or is_in_memory(engine):
        yield from ((digest, _compute_one(engine, space)) for digest, space in spaces)
        return
    from joblib import Parallel, delayed

    url = engine.url.render_as_string(hide_password=False)
    work = (delayed(_compute_elsewhere)(url, digest, space) for digest, space in spaces)
    yield from Parallel(n_jobs=cores, return_as="generator_unordered")(work)


def _compute_one(engine: Engine, space: Space) -> int:
    from dse.lines import lines_of  # numba: only where there is something to compute

    return write_space(engine, space, list(lines_of(space)))


def _compute_elsewhere(url: str, digest: str, space: Space) -> tuple[str, int]:
    """``_compute_one`` in a process of its own, which keeps its engine for the next space."""
    return digest, _compute_one(_engine_of(url), space)


@cache
def _engine_of(url: str) -> Engine:
    return connect(url, create=False)


def _digest(name: str, layers: Sequence[Layer], input_shape: object) -> str:
    text = json.dumps([name, [layer.as_dict() for layer in layers], input_shape])
    return hashlib.sha256(text.encode()).hexdigest()


def _check_name(connection: Connection, name: str, digest: str) -> None:
    known = connection.execute(select(network.c.digest).where(network.c.name == name)).scalar()
    if known is not None and known != digest:
        raise UserError(f"the database has another network named '{name}', with other layers; give a new name (--name)")


def _store_network(
    connection: Connection,
    name: str,
    source: str,
    digest: str,
    input_shape: object,
    params: int,
    layers: Sequence[Layer],
) -> None:
    _check_name(connection, name, digest)
    if connection.execute(select(network.c.id).where(network.c.digest == digest)).first():
        return
    total = network_cost(params, layers)
    values = {
        "name": name,
        "source": source,
        "digest": digest,
        "input_shape": json.dumps(input_shape),
        "params": total.params,
        "fm": total.fm,
        "flops": total.flops,
    }
    key = connection.execute(insert(network).values(**values).returning(network.c.id)).scalar_one()
    rows = [
        {
            "network": key,
            "position": position,
            **{column: getattr(layer, column) for column in ("name", "kind", "in_channels", "out_channels")},
            **{column: getattr(layer, column) for column in ("padding", "groups", "positions", "kept_because")},
            **{
                column: json.dumps(getattr(layer, column))
                for column in ("kernel", "in_size", "out_size", "strides", "dilation")
            },
            "sequential": int(layer.sequential),
            **dict(zip(("params", "fm", "flops"), known_cost(layer), strict=True)),
        }
        for position, layer in enumerate(layers)
    ]
    connection.execute(insert(layer_table), rows)


def _link(connection: Connection, name: str, layers: Sequence[Layer], spaces: Sequence[Sequence[int]]) -> None:
    """A layer has one space a method: exploring with other options replaces it."""
    rows = connection.execute(
        select(layer_table.c.name, layer_table.c.id).join(network).where(network.c.name == name)
    ).all()
    keys = {row.name: row.id for row in rows}
    wanted = {(keys[layer.name], space) for layer, group in zip(layers, spaces, strict=True) for space in group}
    query = select(layer_space.c.layer, layer_space.c.space, space_table.c.method).join(space_table)
    standing = {
        (row.layer, row.space): row.method
        for row in connection.execute(query.where(layer_space.c.layer.in_(keys.values())))
    }
    new = wanted - set(standing)
    if not new:
        return
    ids = {space for _, space in new}
    methods = connection.execute(select(space_table.c.id, space_table.c.method).where(space_table.c.id.in_(ids)))
    method_of = {row.id: row.method for row in methods}
    replaced = {(layer, method_of[space]) for layer, space in new}
    for (layer, space), method in standing.items():
        if (layer, method) in replaced:
            connection.execute(delete(layer_space).where(layer_space.c.layer == layer, layer_space.c.space == space))
    connection.execute(insert(layer_space), [{"layer": layer, "space": space} for layer, space in sorted(new)])
