"""What a model takes and gives, as data for it is laid out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankline.src.dse.keras_model.graph import trace
from rankline.src.dse.keras_model.saved import ENDINGS, saved_model

if TYPE_CHECKING:
    import keras

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Slot:
    """An input or output of a model: its name and the shape of one sample (None: an open size; empty: unknown)."""

    name: str
    shape: Shape = ()


def fits(given: Sequence[int], wanted: Shape) -> bool:
    """Whether a sample of this shape fits one of a model, in which None is any size."""
    return len(given) == len(wanted) and all(w in (None, g) for g, w in zip(given, wanted, strict=True))


@dataclass(frozen=True)
class Takes:
    """The inputs and outputs of a model. ``model``: its name."""

    inputs: tuple[Slot, ...] = (Slot("x"),)
    outputs: tuple[Slot, ...] = (Slot("y"),)
    model: str = ""


def takes_of(model: keras.Model) -> Takes:
    """What a built model takes and gives. Raises UserError for a model without a graph."""
    import keras

    trace(model)
    inputs = [tensor.name for tensor in model.inputs]
    if isinstance(model, keras.Sequential):  # loaded ones have no ``input``; their ends are single tensors
        ends, outputs = (None, None), [model.layers[-1].name]
    else:
        ends = model.input, model.output
        outputs = getattr(model, "output_names", None) or [tensor.name for tensor in model.outputs]
    return Takes(
        _slots(model.inputs, ends[0], inputs),
        _slots(model.outputs, ends[1], outputs),
        str(model.name),
    )


def _slots(tensors: Sequence[Any], structure: Any, names: Sequence[str]) -> tuple[Slot, ...]:
    # Keras flattens a dict in the order of its keys.
    keys = sorted(structure) if isinstance(structure, Mapping) else names
    return tuple(Slot(str(key), tuple(one.shape[1:])) for key, one in zip(keys, tensors, strict=True))


def saved_takes(source: str) -> Takes | None:
    """What the model of a MODEL text takes, by name, as far as that is known without Keras; else None."""
    path = Path(source)
    if source.startswith(("app:", "zoo:")):
        return Takes()
    if path.suffix not in ENDINGS:
        return None
    config = saved_model(path, "").config.get("config")
    sides = [config.get(f"{side}_layers") if isinstance(config, Mapping) else None for side in ("input", "output")]
    inputs, outputs = ([str(name) for name in _layer_names(side)] for side in sides)
    return Takes(tuple(map(Slot, inputs)) or Takes.inputs, tuple(map(Slot, outputs)) or Takes.outputs, path.stem)


def _layer_names(side: Any) -> list[Any]:
    """The names in a configuration's list or dict of the layers [name, node, tensor] that make a model's ends."""
    if isinstance(side, Mapping):
        return sorted(side)
    if not isinstance(side, list) or not side:
        return []
    return [one[0] for one in side if one] if isinstance(side[0], list) else [side[0]]
