"""A folder of pictures as data, read by Keras at the size and with the channels that the model takes.

- ``train``, ``validation`` (or ``val``, ``valid``) and ``test`` in it are the parts, without them all is one
- a folder in a part is a class; classes are numbered in the order of their names
- pictures without such folders have no classes, and are for calibration alone
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from rankline.src.compress.data.arrays import Array
from rankline.src.compress.data.given import Held, Part
from rankline.src.compress.data.memory import available_bytes
from rankline.src.compress.data.names import PARTS, TRAIN, WHOLE
from rankline.src.compress.data.takes import Takes
from rankline.src.dse.errors import UserError
from rankline.src.dse.numbers import si

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
"""What Keras reads."""

COLOURS = {1: "grayscale", 3: "rgb", 4: "rgba"}
"""Keras's names of the colours, by the number of channels."""

COPIES = 3
"""How often all pictures are held in memory while they are scaled and split."""


@dataclass(frozen=True)
class Folder:
    """A folder of pictures: the folder of each part and how many are in it, and the names of the classes, if any.

    lacks: why it can't train and judge a model; empty if it can.
    """

    path: Path
    parts: Mapping[str, Path]
    classes: tuple[str, ...]
    counts: Mapping[str, int]
    lacks: str

    @property
    def first(self) -> Path:
        """The folder of the part to train or calibrate on."""
        return self.parts[TRAIN if TRAIN in self.parts else WHOLE]


def folder_of(source: str) -> Folder:
    """What a folder holds, without opening a picture. Raises UserError if there is nothing to train or calibrate on."""
    path = Path(source)
    inner = _folders(path)
    names = [PARTS.get(one.name.lower(), WHOLE) for one in inner]
    if TRAIN not in names or WHOLE in names:
        names, inner = [WHOLE], [path]
    if len(set(names)) < len(names):
        raise UserError(f"{path} has two folders of one part: {', '.join(one.name for one in inner)}; keep one of them")
    parts = dict(zip(names, inner, strict=True))
    classes = {part: _classes(folder) for part, folder in parts.items()}
    counts = {part: sum(1 for _ in _pictures(folder, classes[part])) for part, folder in parts.items()}
    first = TRAIN if TRAIN in parts else WHOLE
    if not counts[first]:
        raise UserError(
            f"there are no pictures in {parts[first]} ({', '.join(ENDINGS)}; in folders of classes, or without any)"
        )
    return Folder(path, parts, classes[first], counts, _lacks(parts, classes, counts, first))


def _lacks(
    parts: Mapping[str, Path], classes: Mapping[str, tuple[str, ...]], counts: Mapping[str, int], first: str
) -> str:
    """Why a folder can't train and judge a model; empty if it can."""
    known = classes[first]
    if len(known) < 2:
        has = f"has a single class, {known[0]}" if known else "has no folders of classes, and so no labels"
        return f"{parts[first]} {has}; give each class a folder of its pictures"
    for part, folder in parts.items():
        if classes[part] != known:
            found = ", ".join(classes[part]) or "none"
            return f"{folder} has other folders of classes than its neighbours: {found}; those have {', '.join(known)}"
        if not counts[part]:
            return f"there are no pictures in {folder}; put some there, or take it away"
    return ""


def read_pictures(
    folder: Folder, takes: Takes, needs_labels: bool = True, samples: int | None = None, seed: int = 0
) -> Held:
    """The pictures of a folder as values from 0 to 255, resized to the model's input.

    needs_labels: False where pictures alone are enough; then ``samples`` of the first part, drawn with ``seed``, are
    read where there are no classes or not the memory for all. Raises UserError for a model that takes something else,
    for more pictures than memory can hold, and for one that is broken.
    """
    size, channels, _ = wanted = _wanted(takes)
    bytes_each = COPIES * 4 * prod((*size, channels))
    needed, free = sum(folder.counts.values()) * bytes_each, available_bytes()
    has_room = free is None or needed <= free
    shown = f"{size[0]}x{size[1]}x{channels}"
    facts = {"pictures": {"size": list(size), "channels": channels, "classes": list(folder.classes)}}
    if samples is not None and not needs_labels and (folder.lacks or not has_room):
        x, _ = _read(folder, folder.first, wanted, samples, seed)
        told = f"{folder.path}: {len(x):,} of {sum(folder.counts.values()):,} pictures, read at {shown}"
        lacks = folder.lacks or f"memory doesn't suffice for all pictures of {folder.path}"
        return Held(str(folder.path), {WHOLE: Part((x,))}, lacks, [told], facts, has_labels=bool(folder.classes))
    if not has_room:
        raise UserError(
            f"{folder.path}: {sum(folder.counts.values()):,} pictures of {shown} need {si(needed, 'B')} of memory, and "
            f"{si(free, 'B')} are free; give a folder with fewer"
        )
    parts = {}
    for part, path in folder.parts.items():
        x, y = _read(folder, path, wanted)
        parts[part] = Part((x,), () if y is None else (y,))
    told = f"{folder.path}: {sum(len(one.x[0]) for one in parts.values()):,} pictures, read at {shown}"
    if folder.classes:
        some = ", ".join(folder.classes[:5]) + (", .." if len(folder.classes) > 5 else "")
        told += f"; {len(folder.classes)} classes, numbered by name: {some}"
    return Held(str(folder.path), parts, folder.lacks, [told], facts, has_labels=bool(folder.classes))


def _read(
    folder: Folder, path: Path, wanted: tuple[tuple[int, int], int, str], samples: int | None = None, seed: int = 0
) -> tuple[Array, Array | None]:
    """The pictures of a part and their classes."""
    import keras

    size, channels, layout = wanted
    found = keras.utils.image_dataset_from_directory(
        path,
        labels="inferred" if folder.classes else None,
        label_mode="int" if folder.classes else None,
        color_mode=COLOURS[channels],
        batch_size=None,
        image_size=size,
        shuffle=samples is not None,
        seed=seed,
        data_format=layout,
        verbose=False,
    )
    count = len(found.file_paths) if samples is None else min(samples, len(found.file_paths))
    shape = (*size, channels) if layout == "channels_last" else (channels, *size)
    x, y = np.empty((count, *shape), np.float32), np.empty(count, np.int64) if folder.classes else None
    try:
        for index, one in enumerate(found.take(count).as_numpy_iterator()):
            if y is not None:
                x[index], y[index] = one
            else:
                x[index] = one
    except Exception as error:  # TensorFlow's own kinds
        raise UserError(_broken(found.file_paths, channels)) from error
    return x, y


def _broken(paths: Sequence[str], channels: int) -> str:
    """A message that names the first picture that can't be read."""
    import tensorflow as tf

    for one in paths:
        try:
            tf.io.decode_image(tf.io.read_file(one), channels=channels, expand_animations=False)
        except Exception:  # TensorFlow's own kinds
            return f"{one} can't be read as a picture in {COLOURS[channels]}; mend it or take it out"
    return f"the pictures beside {paths[0]} can't be read"


def _wanted(takes: Takes) -> tuple[tuple[int, int], int, str]:
    """Height and width, channels, and Keras's name of their order. Raises UserError for a model of other inputs."""
    shape = takes.inputs[0].shape
    if len(takes.inputs) != 1 or len(shape) != 3:
        raise UserError(
            f"a folder of pictures is data for one input (height, width, channels); model '{takes.model}' takes "
            f"{', '.join(str(one.shape) for one in takes.inputs)}"
        )
    last = shape[-1] in COLOURS
    channels, size = (shape[-1], shape[:2]) if last else (shape[0], shape[1:])
    if channels not in COLOURS:
        raise UserError(f"pictures have 1, 3 or 4 channels; model '{takes.model}' takes {shape}")
    if None in size:
        raise UserError(
            f"model '{takes.model}' takes {shape}, so the size of its pictures is open, and costs depend on it; fix "
            "it: x = keras.Input((224, 224, 3)), keras.Model(x, model(x))"
        )
    return (int(size[0] or 0), int(size[1] or 0)), int(channels or 0), "channels_last" if last else "channels_first"


def _folders(path: Path) -> list[Path]:
    return sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))


def _classes(path: Path) -> tuple[str, ...]:
    """The folders in a folder, unless the pictures are beside them."""
    names = tuple(one.name for one in _folders(path))
    has_own = any(one.suffix.lower() in ENDINGS for one in path.iterdir())
    return () if has_own and not any(_pictures(path, names)) else names


def _pictures(path: Path, classes: Sequence[str]) -> Iterator[Path]:
    """The pictures in the folders of classes, or in the folder itself, as Keras finds them."""
    for top in [path / one for one in classes] or [path]:
        for root, _, names in os.walk(top):
            yield from (Path(root, name) for name in sorted(names) if name.lower().endswith(ENDINGS))
