"""Files that are written whole or not at all: beside their place, and then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rankline.src.dse.errors import UserError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file to write to, which takes the place of ``path`` when the block ends well, and is gone when it doesn't.

    It has the same ending. Raises UserError where the system can't write.
    """
    try:
        with _beside(path) as partial:
            yield partial
    except OSError as error:
        told = f"cannot write {path}: {error.strerror or error}; name a file in a folder that you can write"
        raise UserError(told) from error


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all. Raises UserError where it can't be written."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_texts(folder: Path, texts: dict[str, str]) -> list[Path]:
    """Writes text files into a folder, which is made, each whole or not at all; returns their paths.

    Raises UserError where they can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with _beside(folder / name) as partial:
                partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror}; name a folder that you can write") from error
    return [folder / name for name in texts]


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    partial = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
