"""A plan: which layers are factorized, and how. Its file is JSON, one entry per layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankline.src.dse import methods
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError, short
from rankline.src.dse.json_file import parsed, read_bytes
from rankline.src.dse.whole_file import write_text

FIELDS = ("method", "ranks", "shape")


Plan = dict[str, Configuration]
"""The configuration of every layer that is factorized, by the layer's path ("outer/inner/layer")."""


def read_plan(path: str | Path) -> Plan:
    """The plan in a JSON file. Raises UserError naming the file, the layer and what is possible."""
    try:
        text = read_bytes(Path(path))
    except UserError as error:
        raise UserError(f"plan {path} cannot be read: {error}; give a JSON file that write_plan made") from error
    try:
        return plan_from_json(text)
    except UserError as error:
        raise UserError(f"plan {path}: {error}") from error


def write_plan(plan: Mapping[str, Configuration], path: str | Path) -> None:
    """Writes the plan as JSON, one layer per line, atomically. Raises UserError if the file can't be written."""
    write_text(Path(path), plan_to_json(plan))


def plan_from_json(text: str | bytes) -> Plan:
    """The plan in a JSON text such as ``{"layer": {"method": "tucker", "ranks": [8, 16]}}``.

    Raises UserError if the text is not of that form.
    """
    entries = parsed(text)
    if not isinstance(entries, dict):
        raise UserError(f'expected an object like {{"conv1": {{"method": "svd", "ranks": [8]}}}}; got {short(entries)}')
    return {layer: configuration_from(layer, entry) for layer, entry in entries.items()}


def plan_to_json(plan: Mapping[str, Configuration]) -> str:
    """The plan as JSON text, which ``plan_from_json`` reads; without ``shape`` where it is None."""
    lines = [f"  {json.dumps(layer)}: {json.dumps(configuration_entry(one))}" for layer, one in plan.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n" if lines else "{}\n"


def configuration_entry(one: Configuration) -> dict[str, Any]:
    """The configuration as a plan's JSON has it; ``configuration_from`` reads it."""
    entry: dict[str, Any] = {"method": one.method, "ranks": [int(rank) for rank in one.ranks]}
    return entry if one.shape is None else {**entry, "shape": one.shape}


def configuration_from(layer: str, entry: Any) -> Configuration:
    """The configuration that a plan's JSON has for a layer. Raises UserError if the entry is not of that form."""
    if not isinstance(entry, dict) or not {"method", "ranks"} <= entry.keys() <= set(FIELDS):
        raise UserError(f"layer '{layer}': expected 'method' and 'ranks' (and 'shape' for t3f); got {short(entry)}")
    method, ranks, shape = (entry.get(field) for field in FIELDS)
    if not isinstance(method, str):
        raise UserError(f"layer '{layer}': method must be text like 'svd'; got {short(method)}")
    try:
        methods.get(method)
    except UserError as error:
        raise UserError(f"layer '{layer}': {error}") from error
    if not isinstance(ranks, list) or not ranks or not all(type(rank) is int and rank >= 1 for rank in ranks):
        raise UserError(f"layer '{layer}': ranks must be a list of whole numbers of at least 1; got {short(ranks)}")
    if shape is not None and not isinstance(shape, str):
        raise UserError(f"layer '{layer}': shape must be text like '4x8:8x4'; got {short(shape)}")
    return Configuration(method, tuple(ranks), shape)
