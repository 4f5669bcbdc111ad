"""Data as Python values: what a function returns, or a caller gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rankline.src.compress.data.arrays import Array, array_of
from rankline.src.compress.data.names import TEST, TRAIN, VALIDATION, WHOLE, Layout, layout_of
from rankline.src.compress.data.streams import arrays_of, inputs_of_stream, is_stream
from rankline.src.compress.data.takes import Slot, Takes
from rankline.src.dse.errors import UserError

KEYS = ("x_train", "y_train", "x_test", "y_test")
KEYS_IN_THREE_PARTS = ("x_train", "y_train", "x_validation", "y_validation", "x_test", "y_test")

NEEDED = f"{len(KEYS)} arrays: {', '.join(KEYS)}; or {len(KEYS_IN_THREE_PARTS)}: {', '.join(KEYS_IN_THREE_PARTS)}"

IN_PARTS = {2: (TRAIN, TEST), 3: (TRAIN, VALIDATION, TEST)}


@dataclass(frozen=True, eq=False)
class Part:
    """Inputs and labels: an array for each of the model's inputs and outputs; no labels are an empty tuple."""

    x: tuple[Array, ...]
    y: tuple[Array, ...] = ()


@dataclass(frozen=True, eq=False)
class Held:
    """What a source holds, unscaled.

    - ``parts``: train, validation and test, or the whole
    - ``lacks``: why a model can't be trained and judged on it; empty if it can
    - ``has_labels``: whether there are labels, be they of use or not
    - ``notes``: what people should know of how it was read
    - ``facts``: the same for the record
    """

    name: str
    parts: Mapping[str, Part]
    lacks: str = ""
    notes: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    has_labels: bool = True

    @property
    def first(self) -> Part:
        """The part to train or calibrate on."""
        return next(self.parts[part] for part in (TRAIN, WHOLE, VALIDATION, TEST) if part in self.parts)


def held_by(value: Any, name: str, takes: Takes) -> Held:
    """The parts of a value: named arrays, inputs alone, (x, y), a pair (x, y) for each of two or three parts, or the
    arrays of NEEDED.

    Where a model has several inputs or outputs, x or y is a list, a tuple or a dict of them. Raises UserError for
    anything else.
    """
    if isinstance(value, Mapping):
        return _named(value, name, takes)
    if is_stream(value):
        x = _slots(inputs_of_stream(value, len(takes.inputs)), takes.inputs, name)
        return Held(name, {WHOLE: Part(x)}, f"data '{name}' is a single set; give (train, test)", has_labels=False)
    if _is_array(value):
        return _held(name, {WHOLE: (value,)}, takes)
    if not isinstance(value, tuple | list):
        raise UserError(f"data '{name}' must be {NEEDED}; it is a {type(value).__name__}")
    if value and all(map(is_stream, value)):
        value = arrays_of(value, name)
    if len(value) == len(takes.inputs) > 1 and all(map(_is_array, value)):
        return _held(name, {WHOLE: (value,)}, takes)
    if len(value) == 1:
        return _held(name, {WHOLE: value}, takes)
    if len(value) in IN_PARTS and all(_is_pair(one, takes) for one in value):
        return _held(name, dict(zip(IN_PARTS[len(value)], value, strict=True)), takes)
    if len(value) == 2:
        return _held(name, {WHOLE: value}, takes)
    if len(value) not in (len(KEYS), len(KEYS_IN_THREE_PARTS)):
        raise UserError(f"data '{name}' must be {NEEDED}; got {len(value)}")
    pairs = [value[start : start + 2] for start in range(0, len(value), 2)]
    return _held(name, dict(zip(IN_PARTS[len(pairs)], pairs, strict=True)), takes)


def held_of(layout: Layout, arrays: Mapping[str, Array], where: str, held: Sequence[str], held_back: str = "") -> Held:
    """The parts of named arrays. held: all names there, also of arrays that were not read; held_back: why labels were
    not read."""
    parts = {}
    for part in (WHOLE, TRAIN, VALIDATION, TEST):
        x, y = (tuple(arrays[name] for name in layout.of(kind, part) if name in arrays) for kind in "xy")
        if x:
            parts[part] = Part(x, y)
    lacks = lacking(layout, where, held) if layout.missing else ""
    if not parts:
        raise UserError(lacks)
    notes = [f"{where}: {note}" for note in layout.notes]
    has_labels = bool(held_back) or any(part.y for part in parts.values())
    return Held(where, parts, held_back or lacks, notes, has_labels=has_labels)


def lacking(layout: Layout, where: str, held: Sequence[str]) -> str:
    """A message of what named arrays lack."""
    return f"{where} lacks {', '.join(layout.missing)}; it holds {', '.join(held) or 'nothing'}"


def _named(value: Mapping[Any, Any], name: str, takes: Takes) -> Held:
    """Arrays by name; their labels may be of no use."""
    arrays = {str(key): one for key, one in value.items()}
    layout, lacks = layout_of(arrays, takes, name), ""
    x = {key: array_of(arrays[key], f"{name}: {key}") for place, key in layout.names.items() if place.kind == "x"}
    try:
        y = {key: array_of(arrays[key], f"{name}: {key}") for place, key in layout.names.items() if place.kind == "y"}
    except UserError as error:
        y, lacks = {}, str(error)
    return held_of(layout, {**x, **y}, name, list(arrays), lacks)


def _held(name: str, parts: Mapping[str, Sequence[Any]], takes: Takes) -> Held:
    """Parts of (x,) or (x, y), of which y may be of no use."""
    x = {part: _slots(sides[0], takes.inputs, name) for part, sides in parts.items()}
    lacks = f"data '{name}' must be {NEEDED}; got inputs without labels"
    if any(len(sides) < 2 for sides in parts.values()):
        return Held(name, {part: Part(one) for part, one in x.items()}, lacks, has_labels=False)
    try:
        y = {part: _slots(sides[1], takes.outputs, name) for part, sides in parts.items()}
    except UserError as error:
        return Held(name, {part: Part(one) for part, one in x.items()}, str(error))
    return Held(name, {part: Part(one, y[part]) for part, one in x.items()})


def _slots(value: Any, slots: Sequence[Slot], name: str) -> tuple[Array, ...]:
    """The arrays of a side, in the order of the model's inputs or outputs."""
    if isinstance(value, Mapping):
        if missing := [slot.name for slot in slots if slot.name not in value]:
            raise UserError(f"data '{name}' lacks {', '.join(missing)}; it holds {', '.join(map(str, value))}")
        return tuple(array_of(value[slot.name], f"{name}: {slot.name}") for slot in slots)
    if len(slots) == 1:
        return (array_of(value, name),)
    if not isinstance(value, tuple | list) or len(value) != len(slots):
        count = len(value) if isinstance(value, tuple | list) else 1
        raise UserError(
            f"data '{name}' must have an array for each of {', '.join(slot.name for slot in slots)}; it has {count}"
        )
    return tuple(array_of(one, name) for one in value)


def _is_pair(value: Any, takes: Takes) -> bool:
    """Whether a value is (x, y) of a part, as Keras's own data sets come."""
    if not isinstance(value, tuple | list) or len(value) != 2 or not all(map(_is_arrays, value)):
        return False
    x = value[0]
    if isinstance(x, Mapping):
        return {slot.name for slot in takes.inputs} <= set(x)
    return _is_array(x) if len(takes.inputs) == 1 else len(x) == len(takes.inputs)


def _is_arrays(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    return _is_array(value) or (isinstance(value, tuple | list) and all(map(_is_array, value)))


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "__array__")
