"""The layers of the study's fourteen networks in a database, with their spaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, select

from rankline.src.db.database import Database
from rankline.src.db.schema import layer as layer_table
from rankline.src.db.schema import layer_space
from rankline.src.db.schema import network as network_table
from rankline.src.db.schema import space as space_table
from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import UserError
from rankline.src.dse.formula import original_cost
from rankline.src.dse.layer import Layer
from rankline.src.dse.symbols import LayerShape, layer_shape
from rankline.src.dse.zoo import FOURTEEN


@dataclass(frozen=True)
class KnownSpace:
    """A space in the database: its id, the number of ranks of a configuration, and its useful configurations."""

    id: int
    n_ranks: int
    n_useful: int


@dataclass(frozen=True)
class StudiedLayer:
    """A layer that can be factorized, with its spaces by method; ``stored_as``: its network's name in the database."""

    network: str
    layer: Layer
    spaces: Mapping[str, KnownSpace]
    stored_as: str = ""

    @property
    def shape(self) -> LayerShape:
        """The shape on which its spaces depend."""
        return layer_shape(self.layer)

    @property
    def original(self) -> Cost:
        """The cost of the original layer."""
        return original_cost(self.shape)


@dataclass(frozen=True)
class Studied:
    """The fourteen networks' layers in a database, and which of the networks are present and missing."""

    layers: Sequence[StudiedLayer]
    present: Sequence[str]
    missing: Sequence[str]

    def coverage(self) -> str:
        """A sentence that counts the networks present and names the missing ones."""
        if not self.missing:
            return f"All {len(FOURTEEN)} networks of the study are in the database."
        return (
            f"{len(self.present)} of the {len(FOURTEEN)} networks are in the database ({', '.join(self.present)}); "
            f"missing: {', '.join(self.missing)}."
        )


def studied(database: Database) -> Studied:
    """The layers of the networks that were explored from ``zoo:NAME``, in the order of FOURTEEN.

    Raises UserError if there is none.
    """
    names = {row.source: row.name for row in database.networks()}
    present = [name for name in FOURTEEN if f"zoo:{name}" in names]
    if not present:
        raise UserError("the database has none of the fourteen networks of the study")
    layers = []
    for name in present:
        stored_as = names[f"zoo:{name}"]
        spaces = _spaces(database.engine, stored_as)
        for layer in database.layer_shapes(stored_as):
            if layer.name in spaces:
                layers.append(StudiedLayer(name, layer, spaces[layer.name], stored_as))
    return Studied(layers, present, [name for name in FOURTEEN if name not in present])


def _spaces(engine: Engine, network: str) -> dict[str, dict[str, KnownSpace]]:
    """The spaces of each layer of a network, by layer and method."""
    columns = (layer_table.c.name, *(space_table.c[key] for key in ("method", "id", "n_ranks", "n_useful")))
    query = (
        select(*columns)
        .join_from(layer_table, layer_space)
        .join(space_table)
        .join(network_table, network_table.c.id == layer_table.c.network)
        .where(network_table.c.name == network)
    )
    found: dict[str, dict[str, KnownSpace]] = {}
    with engine.connect() as connection:
        for name, method, *values in connection.execute(query):
            found.setdefault(name, {})[method] = KnownSpace(*values)
    return found
