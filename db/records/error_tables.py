"""The stored error tables of layers: written by ``compress``, evaluated by queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Engine, delete, insert, select

from rankline.src.db.backends.engine import writing
from rankline.src.db.schema import layer, spectrum
from rankline.src.dse.error_table import Spectrum, from_bytes, to_bytes

if TYPE_CHECKING:
    import pandas as pd

WEIGHTS, OUTPUTS = "weights", "outputs"
"""What an error is measured on: the layer's weights, or its outputs on calibration data."""


@dataclass(frozen=True, eq=False)
class LayerErrors:
    """A method's error tables for one layer, read when first needed. of: ``weights`` or ``outputs``."""

    engine: Engine
    id: int
    of: str

    @cached_property
    def spectrum(self) -> Spectrum:
        """The tables by tensor shape."""
        with self.engine.connect() as connection:
            return from_bytes(connection.execute(select(spectrum.c.table).where(spectrum.c.id == self.id)).scalar_one())

    def error(self, ranks: tuple[int, ...], shape: str | None) -> float | None:
        """The relative error of a configuration; None if no table has its tensor shape."""
        table = self.spectrum.get(shape)
        return None if table is None else table.error(ranks)

    def between(self, ranks: tuple[int, ...], shape: str | None) -> tuple[float, float] | None:
        """The lowest and highest relative error that a configuration may have; None if no table has its tensor shape,
        and for an estimate whose limits aren't known."""
        if (table := self.spectrum.get(shape)) is None:
            return None
        low, high = table.between(np.array([ranks], np.int64))
        return None if np.isnan(low[0]) else (float(low[0]), float(high[0]))

    def of_frame(self, frame: pd.DataFrame, ranks: Sequence[str]) -> dict[str, pd.Series[float]]:
        """The relative errors of the configurations in a data frame with columns ``shape`` and the ranks, and the
        lowest and highest that they may be, as columns by name."""
        import pandas as pd

        found = {name: pd.Series(float("nan"), frame.index) for name in ("error", "error_low", "error_high")}
        for shape, table in self.spectrum.items():
            here = frame["shape"].isna() if shape is None else (frame["shape"] == shape).fillna(False)
            numbers = frame.loc[here, list(ranks[: table.n_ranks])].to_numpy(np.int64)
            for name, values in zip(found, (table.errors(numbers), *table.between(numbers)), strict=True):
                found[name][here] = values
        return found

    def certainty(self, shape: str | None) -> str | None:
        """``exact``, ``bound`` or ``estimate``; None if no table has the tensor shape."""
        table = self.spectrum.get(shape)
        return None if table is None else table.certainty


def known_errors(engine: Engine, layer_id: int, method: str) -> LayerErrors | None:
    """The tables of a layer and method, preferring those of the outputs; None if there are none."""
    query = select(spectrum.c.kind, spectrum.c.id).where(spectrum.c.layer == layer_id, spectrum.c.method == method)
    with engine.connect() as connection:
        return _preferred(engine, {row.kind: row.id for row in connection.execute(query)})


def known_errors_of_network(engine: Engine, network_id: int) -> dict[tuple[str, str], LayerErrors]:
    """``known_errors`` of each layer and method of a network that have any, by their names."""
    columns = (layer.c.name, spectrum.c.method, spectrum.c.kind, spectrum.c.id)
    query = select(*columns).join_from(spectrum, layer).where(layer.c.network == network_id)
    found: dict[tuple[str, str], dict[str, int]] = {}
    with engine.connect() as connection:
        for name, method, kind, table in connection.execute(query):
            found.setdefault((name, method), {})[kind] = table
    return {key: errors for key, tables in found.items() if (errors := _preferred(engine, tables))}


def _preferred(engine: Engine, tables: Mapping[str, int]) -> LayerErrors | None:
    """tables: ids by kind."""
    return next((LayerErrors(engine, tables[kind], kind) for kind in (OUTPUTS, WEIGHTS) if kind in tables), None)


def stored_digests(engine: Engine, layer_id: int) -> dict[tuple[str, str], str]:
    """The digest of each stored table's source, by method and kind."""
    query = select(spectrum.c.method, spectrum.c.kind, spectrum.c.weights_digest).where(spectrum.c.layer == layer_id)
    with engine.connect() as connection:
        return {(row.method, row.kind): row.weights_digest for row in connection.execute(query)}


def store_errors(
    engine: Engine,
    layer_id: int,
    method: str,
    kind: str,
    digest: str,
    tables: Spectrum,
    also_replaced: Sequence[str] = (),
) -> None:
    """Replaces the tables of the same layer, method and kind (or ``also_replaced`` kinds), in one transaction."""
    kinds = spectrum.c.kind.in_([kind, *also_replaced])
    same = (spectrum.c.layer == layer_id, spectrum.c.method == method, kinds)
    values = {"layer": layer_id, "weights_digest": digest, "method": method, "kind": kind, "table": to_bytes(tables)}
    with writing(engine).begin() as connection:
        connection.execute(delete(spectrum).where(*same))
        connection.execute(insert(spectrum).values(**values))
