"""Which array of a file is what, by the names that people give them: ``x_train``, ``val_labels``, ``images``, ..

A name says a part (train, validation, test; without one it is the whole), whether it is inputs or labels, and, for a
model with several, which of them: by its name (``x_train_left``, ``left``) or its number (``x_train_0``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rankline.src.compress.data.takes import Takes
from rankline.src.dse.errors import UserError

WHOLE, TRAIN, VALIDATION, TEST = "whole", "train", "validation", "test"

PARTS = {
    "train": TRAIN, "training": TRAIN,
    "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION, "dev": VALIDATION,
    "test": TEST, "testing": TEST,
}  # fmt: skip

INPUTS = (
    "x", "input", "inputs", "image", "images", "picture", "pictures", "feature", "features", "data", "sample",
    "samples",
)  # fmt: skip
LABELS = ("y", "label", "labels", "target", "targets", "output", "outputs", "class", "classes", "mask", "masks")

_GLUED = {f"{kind}{part}": (kind, part) for part in PARTS for kind in "xy"}
_GLUED |= {f"{part}{kind}": (part, kind) for part in PARTS for kind in "xy"}


@dataclass(frozen=True)
class Place:
    """Where an array belongs: ``x`` or ``y`` of a part, and the number of the model's input or output."""

    kind: str
    part: str
    slot: int = 0


@dataclass(frozen=True)
class Layout:
    """The name of the array at each place, and the names of arrays that have none."""

    names: Mapping[Place, str]
    takes: Takes
    unused: tuple[str, ...] = ()

    def of(self, kind: str, part: str) -> list[str]:
        """The arrays of a part, in the order of the model's inputs or outputs."""
        found = {place.slot: name for place, name in self.names.items() if (place.kind, place.part) == (kind, part)}
        return [found[slot] for slot in sorted(found)]

    @property
    def has_inputs(self) -> bool:
        """Whether there are inputs of any part."""
        return any(place.kind == "x" for place in self.names)

    @property
    def inputs_alone(self) -> Layout:
        """The inputs of the first part that has some, without labels and other parts."""
        part = next(part for part in (TRAIN, WHOLE, VALIDATION, TEST) if self.of("x", part))
        names = {place: name for place, name in self.names.items() if (place.kind, place.part) == ("x", part)}
        return Layout(names, self.takes, self.unused)

    @property
    def missing(self) -> list[str]:
        """The arrays, by their plainest names, without which no model can be trained and judged. A validation or test
        part may be missing as a whole."""
        has = {(place.kind, place.part) for place in self.names}
        if ("x", WHOLE) in has:
            return [] if ("y", WHOLE) in has else self.plainest("y", WHOLE)
        parts = [TRAIN, *(part for part in (VALIDATION, TEST) if {("x", part), ("y", part)} & has)]
        gone = [(kind, part) for part in parts for kind in "xy" if (kind, part) not in has]
        if gone and TEST not in parts:
            gone += [("x", TEST), ("y", TEST)]
        return [name for kind, part in gone for name in self.plainest(kind, part)]

    def plainest(self, kind: str, part: str) -> list[str]:
        """The plainest names of the arrays of a part."""
        stem = kind if part == WHOLE else f"{kind}_{part}"
        slots = self.takes.inputs if kind == "x" else self.takes.outputs
        return [stem] if len(slots) == 1 else [f"{stem}_{slot.name}" for slot in slots]

    @property
    def notes(self) -> list[str]:
        """What people should know of the names: which part others than the plainest are, and which are ignored."""
        told = []
        for part in (TRAIN, VALIDATION, TEST):
            names = [name for kind in "xy" for name in self.of(kind, part)]
            if names and not all(re.fullmatch(rf"[xy]_{part}(_.+)?", name) for name in names):
                told.append(f"{', '.join(names)} taken as the {part} part")
        return [*told, f"{', '.join(self.unused)} ignored"] if self.unused else told


def layout_of(names: Iterable[str], takes: Takes, where: str) -> Layout:
    """The places of named arrays. A lone array that says nothing else is taken as inputs.

    Of two names for one place, the plainest counts: ``x`` before ``inputs`` before ``images``. Labels of only some of
    the model's outputs are not used. Raises UserError where a part has only some of the inputs. where: the file or
    function that holds the arrays.
    """
    names = list(names)
    found: dict[Place, str] = {}
    for name in sorted(names, key=_plainness):
        place = _place(name, takes)
        if place is not None:
            found.setdefault(place, name)
    if not found and len(names) == 1 and len(takes.inputs) == 1:
        found[Place("x", WHOLE)] = names[0]
    found = _from_zero(found)
    if any(place.part != WHOLE for place in found):
        found = {place: name for place, name in found.items() if place.part != WHOLE}
    found = {place: name for place, name in found.items() if place.kind == "x" or _is_whole(found, place, takes)}
    layout = Layout(found, takes, tuple(name for name in names if name not in found.values()))
    for place in found:
        if not _is_whole(found, place, takes):
            wanted = layout.plainest("x", place.part)
            raise UserError(
                f"{where} must hold an array for each of the model's {len(takes.inputs)} inputs: {', '.join(wanted)} "
                f"(or {wanted[0].removesuffix(takes.inputs[0].name)}0, ..); it holds {', '.join(names)}"
            )
    return layout


def _is_whole(found: Mapping[Place, str], place: Place, takes: Takes) -> bool:
    """Whether there is an array for every input or output, of the part that a place belongs to."""
    slots = {one.slot for one in found if (one.kind, one.part) == (place.kind, place.part)}
    return slots == set(range(len(takes.inputs if place.kind == "x" else takes.outputs)))


def _plainness(name: str) -> tuple[int, int]:
    words = _words(name)
    known = [(INPUTS + LABELS).index(word) for word in words if word in INPUTS + LABELS]
    return min(known, default=len(INPUTS + LABELS)), len(words)


def _place(name: str, takes: Takes) -> Place | None:
    words = _words(name)
    parts = [PARTS[word] for word in words if word in PARTS]
    rest = [word for word in words if word not in PARTS]
    if len(parts) > 1 or not rest:
        return None
    part = parts[0] if parts else WHOLE
    for kind, slots, known in (("x", takes.inputs, INPUTS), ("y", takes.outputs, LABELS)):
        for slot, one in enumerate(slots):
            own = _words(one.name)
            if rest == own or (rest[0] in known and rest[1:] == own):
                return Place(kind, part, slot)
        if rest[0] in known and len(rest) == 1:
            return Place(kind, part)
        if rest[0] in known and len(rest) == 2 and rest[1].isdigit() and len(slots) > 1:
            return Place(kind, part, int(rest[1]))
    return None


def _from_zero(found: Mapping[Place, str]) -> dict[Place, str]:
    """Places counted from 0, where the names count from 1."""
    counted: dict[Place, str] = {}
    for place, name in found.items():
        slots = [one.slot for one in found if (one.kind, one.part) == (place.kind, place.part)]
        counted[Place(place.kind, place.part, place.slot - min(slots) if len(slots) > 1 else place.slot)] = name
    return counted


def _words(name: str) -> list[str]:
    """The words of a name in lower case: the same two of ``xTrain``, ``x_train`` and ``xtrain``."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    words = re.findall(r"[^\W\d_]+|\d+", spaced)
    return [part for word in words for part in _GLUED.get(word.lower(), (word.lower(),))]
