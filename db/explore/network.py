"""Exploring a network: its layers into the database, and every space of them that is not stored yet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from rankline.src.db.backends.engine import writing
from rankline.src.db.explore.spaces import Computed, Stored, stored_spaces, write_spaces
from rankline.src.db.schema import layer as layer_table
from rankline.src.db.schema import layer_space, network, spectrum
from rankline.src.db.schema import space as space_table
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import Layer
from rankline.src.dse.methods import METHODS
from rankline.src.dse.network_cost import known_cost, network_cost
from rankline.src.dse.options import Options
from rankline.src.dse.progress import Progress
from rankline.src.dse.space import Space, spaces_of

LINES_AT_A_TIME = 100_000
"""The most lines written in one transaction, unless a single space has more."""


LARGEST_SUM = 2**62
"""The most params, FM, FLOPs and, over all methods, configurations of a whole network: twice as many are below 2^63."""


@dataclass(frozen=True)
class Explored:
    """The result of ``explore``: the network's name, its counts, and how much of it was newly computed.

    latency_ps: picoseconds of a call of the whole network on a device, None if none was named; left_out: the names of
    layers that the device can't tell, which are not in it.
    """

    network: str
    n_layers: int
    n_kept: int
    n_spaces: int
    n_new_spaces: int
    n_total: int
    n_lines: int
    seconds: float
    latency_ps: int | None = None
    left_out: tuple[str, ...] = ()


def spaces_to_explore(layers: Sequence[Layer], methods: tuple[str, ...] | None, options: Options) -> list[list[Space]]:
    """The spaces of each layer."""
    return [spaces_of(layer, methods, options) for layer in layers]


def check_costs(name: str, params: int, layers: Sequence[Layer]) -> None:
    """Raises UserError where twice a network's cost would not fit into 64 bits."""
    whole = network_cost(params, layers)
    of_layers = sum(known_cost(layer)[0] or 0 for layer in layers)
    _check_fits(name, "params", max(whole.params, of_layers), LARGEST_SUM)
    _check_fits(name, "feature-map elements", whole.fm, LARGEST_SUM)
    _check_fits(name, "FLOPs", whole.flops, LARGEST_SUM)


def check_spaces(name: str, spaces: Sequence[Sequence[Space]], stored: Mapping[str, Stored] | None = None) -> None:
    """Raises UserError where a space that is not stored is too large, or 64 bits would not hold the number of
    configurations of all layers, whatever methods the network is explored with later."""
    known = stored or {}
    for space in {space.digest: space for group in spaces for space in group if space.digest not in known}.values():
        space.check_size()
    each = ((known.get(space.digest) or space).n_total for group in spaces for space in group)
    _check_fits(name, "configurations", sum(each), LARGEST_SUM // len(METHODS))


def _check_fits(name: str, what: str, count: int, most: int) -> None:
    if count >= most:
        raise UserError(
            f"'{name}' has {count:.2e} {what}, and at most {most:.2e} fit into the database's 64-bit integers; leave "
            "out layers, or set max_rank"
        )


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
    """Stores the network, its layers and all their spaces; stored spaces are not computed again.

    Each transaction stores whole spaces, the last one the network with its links: a killed process leaves whole spaces
    and no network, and exploring again continues from there. Raises UserError, before anything is computed or written,
    if the name is taken or a space is too large.
    """
    started = perf_counter()
    digest = _digest(name, layers, input_shape)
    with engine.connect() as connection:
        _check_name(connection, name, digest)
        is_new = not _is_stored(connection, digest)
    if is_new:
        check_costs(name, params, layers)
    distinct = {space.digest: space for group in spaces for space in group}
    with engine.connect() as connection:
        stored = stored_spaces(connection, list(distinct))
    missing = {digest: space for digest, space in distinct.items() if digest not in stored}
    check_spaces(name, spaces, stored)
    ids = {digest: one.id for digest, one in stored.items()} | _compute(engine, missing, progress)
    with writing(engine).begin() as connection:
        _store_network(connection, name, source, digest, input_shape, params, layers)
        _link(connection, name, layers, [[ids[space.digest] for space in group] for group in spaces])
    return Explored(
        network=name,
        n_layers=sum(not layer.kept_because for layer in layers),
        n_kept=sum(bool(layer.kept_because) for layer in layers),
        n_spaces=len(distinct),
        n_new_spaces=len(missing),
        n_total=sum(one.n_total for one in stored.values()) + sum(space.n_total for space in missing.values()),
        n_lines=sum(one.n_lines for one in stored.values()) + sum(space.n_lines for space in missing.values()),
        seconds=perf_counter() - started,
    )


def _compute(engine: Engine, missing: Mapping[str, Space], progress: Progress) -> dict[str, int]:
    """Computes and writes the spaces that are not stored, one group per transaction."""
    total = sum(space.n_total for space in missing.values())
    ids: dict[str, int] = {}
    done = 0
    for group in _computed(sorted(missing.values(), key=lambda space: -space.n_lines)):
        ids |= write_spaces(engine, group)
        for space, _ in group:
            done += space.n_total
            progress(f"{space.method} spaces", done, total)
    return ids


def _computed(spaces: Iterable[Space]) -> Iterator[list[Computed]]:
    """Groups of spaces with their lines; while one is being written, a thread computes the next."""
    from rankline.src.dse.lines import lines_of  # numba: imported only if there is something to compute

    def compute(group: Sequence[Space]) -> list[Computed]:
        return [(space, list(lines_of(space))) for space in group]

    with ThreadPoolExecutor(1, thread_name_prefix="rankline-lines") as thread:
        last = None
        for group in _groups(spaces):
            last, ready = thread.submit(compute, group), last
            if ready is not None:
                yield ready.result()
        if last is not None:
            yield last.result()


def _groups(spaces: Iterable[Space]) -> Iterator[list[Space]]:
    """Groups of spaces to write together, since a transaction takes as long as thousands of lines."""
    group: list[Space] = []
    n_lines = 0
    for space in spaces:
        if group and n_lines + space.n_lines > LINES_AT_A_TIME:
            yield group
            group, n_lines = [], 0
        group.append(space)
        n_lines += space.n_lines
    if group:
        yield group


def _digest(name: str, layers: Sequence[Layer], input_shape: object) -> str:
    text = json.dumps([name, [layer.as_dict() for layer in layers], input_shape])
    return hashlib.sha256(text.encode()).hexdigest()


def _check_name(connection: Connection, name: str, digest: str) -> None:
    known = connection.execute(select(network.c.digest).where(network.c.name == name)).scalar()
    if known is not None and known != digest:
        raise UserError(f"the database has another network named '{name}', with other layers; give a new name (--name)")


def _is_stored(connection: Connection, digest: str) -> bool:
    return connection.execute(select(network.c.id).where(network.c.digest == digest)).first() is not None


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
    if _is_stored(connection, digest):
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
        "n_layers": len(layers),
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
    """Links each layer to one space per method: exploring with other options replaces it and deletes its errors."""
    rows = connection.execute(
        select(layer_table.c.name, layer_table.c.id).join(network).where(network.c.name == name)
    ).all()
    keys = {row.name: row.id for row in rows}
    wanted = {(keys[layer.name], space) for layer, group in zip(layers, spaces, strict=True) for space in group}
    query = select(layer_space.c.layer, layer_space.c.space, space_table.c.method).join(space_table)
    query = query.join(layer_table).join(network).where(network.c.name == name)
    linked = {(row.layer, row.space): row.method for row in connection.execute(query)}
    new = wanted - set(linked)
    if not new:
        return
    method_of = {row.id: row.method for row in connection.execute(select(space_table.c.id, space_table.c.method))}
    replaced = {(layer, method_of[space]) for layer, space in new}
    for (layer, space), method in linked.items():
        if (layer, method) in replaced:
            connection.execute(delete(layer_space).where(layer_space.c.layer == layer, layer_space.c.space == space))
            # Error tables only reach as far as the old space's ranks.
            connection.execute(delete(spectrum).where(spectrum.c.layer == layer, spectrum.c.method == method))
    connection.execute(insert(layer_space), [{"layer": layer, "space": space} for layer, space in sorted(new)])
    count = select(func.count()).select_from(layer_space).join(layer_table).where(layer_table.c.network == network.c.id)
    connection.execute(update(network).where(network.c.name == name).values(n_links=count.scalar_subquery()))
