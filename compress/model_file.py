"""Models as .keras files, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import keras

from compress.surgery import factorize
from dse.errors import UserError


def check_target(path: Path) -> None:
    """Raises UserError where a model cannot be written to ``path``: before hours of training, not after."""
    if path.suffix != ".keras":
        raise UserError(f"a model is written as a .keras file; got '{path.name}'")
    if not path.parent.is_dir():
        raise UserError(f"cannot write {path}: the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"cannot write {path}: the folder {path.parent} is read-only; give another")


def save_model(model: keras.Model, path: Path) -> None:
    """Writes a .keras file whole or not at all, without the optimizer. Raises UserError on a bad name or folder."""
    check_target(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.keras")
    try:
        factorize(model, {}).save(partial)
        partial.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
