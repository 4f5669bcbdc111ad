"""The layers file: a network as a JSON list of layers, so that networks of any framework can be explored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rankline.src.dse.errors import UserError, short
from rankline.src.dse.json_file import parsed, read_bytes
from rankline.src.dse.layer import Layer, layer_from


def read_layers(path: str | Path) -> list[Layer]:
    """The layers of a layers file. Raises UserError naming the file and the entry."""
    try:
        text = read_bytes(Path(path))
    except UserError as error:
        raise UserError(f"cannot read the layers file '{path}': {error}") from error
    try:
        entries = parsed(text)
    except UserError as error:
        raise UserError(f"'{path}' is {error}; a layers file is a JSON list of layers") from error
    if isinstance(entries, dict) and "class_name" in entries:
        raise UserError(
            f"'{path}' is the architecture of a Keras model, not a layers file; build it in a function of your own "
            "with keras.models.model_from_json, and give package.module:function"
        )
    if not isinstance(entries, list):
        raise UserError(f"'{path}' is a JSON {type(entries).__name__}; a layers file is a JSON list of layers")
    return layers_of(entries, f"'{path}'")


def write_layers(layers: Iterable[Layer]) -> str:
    """The text of a layers file, one line per layer; ``read_layers`` reads the same layers back."""
    lines = ",\n".join(f"  {json.dumps(layer.as_dict())}" for layer in layers)
    return f"[\n{lines}\n]\n"


def layers_of(entries: Iterable[Layer | Mapping[str, Any]], where: str) -> list[Layer]:
    """Layers, or entries of a layers file, as validated layers; ``where`` begins the error messages.

    Raises UserError for an entry that is not a layer, a duplicate name, and an empty list.
    """
    layers: list[Layer] = []
    names: set[str] = set()
    for number, entry in enumerate(entries, start=1):
        layer = entry if isinstance(entry, Layer) else _layer(entry, f"{where}, entry {number}")
        if layer.name in names:
            raise UserError(f"{where}, entry {number}: the name '{layer.name}' appears twice; names must be unique")
        names.add(layer.name)
        layers.append(layer)
    if not layers:
        raise UserError(f"{where} has no layers; give at least one")
    return layers


def _layer(entry: Any, where: str) -> Layer:
    if not isinstance(entry, Mapping):
        raise UserError(f"{where} is {short(entry)}; an entry must be an object with 'name', 'kind' and sizes")
    try:
        return layer_from(entry)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
