"""Where the stored layers of a network are in a model of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

import keras

from rankline.src.db.records.networks import LayerRow, NetworkRow
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.layer import Layer

NAMED = 5
"""Layers that a message names; more are counted."""


class LayersMissing(UserWarning):
    """Some layers of a stored network aren't in the model."""


def paths_in(model: keras.Model, network: NetworkRow, rows: Sequence[LayerRow]) -> dict[str, str]:
    """The path in the model of each stored layer that can be factorized, by its stored name; those not found are left
    out.

    Keras numbers the names of layers that have none, on and on within a process: of two builds of one network only the
    numbers differ. If those are all that differs between the model and the stored network, layers are found by their
    order, otherwise by their name. Raises UserError if none is found.
    """
    is_open = None in [size for x in model.inputs for size in x.shape[1:]]
    there = describe(model, (json.loads(network.input_shape) or None) if is_open else None).layers
    if [_unnumbered(layer) for layer in there] == [_unnumbered(row) for row in rows]:
        found = {row.name: layer.name for row, layer in zip(rows, there, strict=True)}
    else:
        found = {layer.name: layer.name for layer in there}
    wanted = [row.name for row in rows if not row.kept_because]
    paths = {name: found[name] for name in wanted if name in found}
    if not paths:
        raise UserError(
            f"no layer of network '{network.name}' ({_some(wanted)}) is in model '{model.name}' "
            f"({_some([layer.name for layer in there if not layer.kept_because])}); give the model that was explored, "
            "or explore this one under another name (--name)"
        )
    return paths


def missing(rows: Sequence[LayerRow], paths: Mapping[str, str]) -> str | None:
    """A sentence on the layers that ``paths_in`` didn't find; None if all are there."""
    wanted = [row.name for row in rows if not row.kept_because]
    lacking = [name for name in wanted if name not in paths]
    if not lacking:
        return None
    return f"{len(lacking)} of the network's {len(wanted)} layers aren't in this model: {_some(lacking)}"


def _unnumbered(layer: Layer | LayerRow) -> tuple[object, ...]:
    """What tells a layer from others: its weights, and its name without the numbers that Keras makes up."""
    name = re.sub(r"_\d+(?=/|$)", "", layer.name)
    return name, layer.kind, layer.kernel, layer.in_channels, layer.out_channels


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
