"""The stored networks, their layers, and the layers' spaces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Engine, Select, func, select

from rankline.src.db.records.row import Row
from rankline.src.db.schema import layer, layer_space, network, space
from rankline.src.dse.cost import Cost
from rankline.src.dse.layer import Layer
from rankline.src.dse.methods import METHODS

SIZES = ("kernel", "in_size", "out_size", "strides", "dilation")


@dataclass(frozen=True)
class NetworkRow(Row):
    """A network: its source, its input shape (JSON), its number of layers, and its cost."""

    id: int
    name: str
    source: str
    input_shape: str
    params: int
    fm: int
    flops: int
    layers: int

    @property
    def cost(self) -> Cost:
        """The cost of one sample."""
        return Cost(self.params, self.fm, self.flops, self.layers)


@dataclass(frozen=True)
class LayerRow(Row):
    """A layer of a network (its id) as ``dse.layer.Layer`` describes it, with its position and its costs.

    kept_because: why it has no spaces; the costs of such a layer may be unknown.
    """

    id: int
    network: int
    position: int
    name: str
    kind: str
    kernel: tuple[int, ...]
    in_channels: int
    out_channels: int
    in_size: tuple[int, ...]
    out_size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: str
    dilation: tuple[int, ...]
    groups: int
    positions: int
    params: int | None
    fm: int | None
    flops: int | None
    sequential: bool
    kept_because: str | None

    @property
    def cost(self) -> Cost:
        """The cost of one sample, with unknown counts as 0."""
        return Cost(self.params or 0, self.fm or 0, self.flops or 0)

    @property
    def shape(self) -> Layer:
        """The layer as the formulas take it."""
        plain = ("name", "kind", "in_channels", "out_channels", "padding", "groups", "positions", "kept_because")
        values: dict[str, Any] = {key: getattr(self, key) for key in (*plain, *SIZES, "sequential")}
        if self.kept_because is not None:
            macs = None if self.flops is None else self.flops // 2
            values |= {"kept_params": self.params, "kept_fm": self.fm, "kept_macs": macs}
        return Layer(**values)


@dataclass(frozen=True)
class SpaceRow(Row):
    """A layer's space by a method: its definition (JSON), and its numbers of configurations and lines."""

    layer: str
    method: str
    options: str
    n_total: int
    n_better: int
    n_useful: int
    n_lines: int


def networks(engine: Engine) -> list[NetworkRow]:
    """All networks, in the order in which they were explored."""
    count = select(func.count()).where(layer.c.network == network.c.id).scalar_subquery()
    columns = [network.c[name] for name in ("id", "name", "source", "input_shape", "params", "fm", "flops")]
    query = select(*columns, count.label("layers")).order_by(network.c.id)
    return [NetworkRow(**row) for row in _rows(engine, query)]


def network_ids(engine: Engine) -> dict[str, int]:
    """The id of every network, by name."""
    return {row["name"]: row["id"] for row in _rows(engine, select(network.c.name, network.c.id))}


def layers(engine: Engine, network_id: int) -> list[LayerRow]:
    """All layers of a network, in order."""
    found = _rows(engine, select(layer).where(layer.c.network == network_id).order_by(layer.c.position))
    return [_layer(row) for row in found]


def layers_named(engine: Engine, name: str, network_id: int | None = None) -> list[tuple[str, LayerRow]]:
    """All layers of that name, of one network if given, each with the name of its network."""
    query = select(network.c.name.label("owner"), layer).join_from(layer, network).where(layer.c.name == name)
    if network_id is not None:
        query = query.where(layer.c.network == network_id)
    return [(row.pop("owner"), _layer(row)) for row in _rows(engine, query)]


def layer_names(engine: Engine, network_id: int | None = None) -> list[str]:
    """The names of layers, of one network if given."""
    query = select(layer.c.name).distinct()
    if network_id is not None:
        query = query.where(layer.c.network == network_id)
    return [row["name"] for row in _rows(engine, query)]


def spaces(engine: Engine, network_id: int) -> list[SpaceRow]:
    """All spaces of a network's layers, in the order of the layers and of the methods."""
    columns = [space.c[name] for name in ("options", "n_total", "n_better", "n_useful", "n_lines")]
    query = (
        select(layer.c.name.label("layer"), space.c.method, *columns)
        .join_from(layer, layer_space)
        .join(space)
        .where(layer.c.network == network_id)
        .order_by(layer.c.position)
    )
    found = [SpaceRow(**row) for row in _rows(engine, query)]
    order = {row.layer: position for position, row in reversed(list(enumerate(found)))}
    listed = list(METHODS)
    return sorted(found, key=lambda row: (order[row.layer], listed.index(row.method)))


@lru_cache(maxsize=1_000)  # a network has few different ones
def _sizes(text: str) -> tuple[int, ...]:
    return tuple(json.loads(text))


def _layer(row: Mapping[str, Any]) -> LayerRow:
    sizes = {key: _sizes(row[key]) for key in SIZES}
    return LayerRow(**{**row, **sizes, "sequential": bool(row["sequential"])})


def _rows(engine: Engine, query: Select[Any]) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]
