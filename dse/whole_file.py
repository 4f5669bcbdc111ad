"""Atomic writes: a file is written beside its target and then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rankline.src.dse.errors import UserError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary file that replaces ``path`` if the block succeeds, and is removed if it fails.

    It has the same suffix. Raises UserError if the system can't write it.
    """
    try:
        with _beside(path) as partial:
            yield partial
    except OSError as error:
        message = f"cannot write {path}: {error.strerror or error}; name a file in a folder that you can write"
        raise UserError(message) from error


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically. Raises UserError if it can't be written."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_texts(folder: Path, texts: dict[str, str]) -> list[Path]:
    """Writes text files into a folder, which is created if missing, each atomically; returns their paths.

    Raises UserError if they can't be written.
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
