"""What tells files and models apart: SHA-256 of their bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras


def file_digest(path: Path) -> str:
    """That of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_digest(model: keras.Model) -> str:
    """That of a model's weights with their names; the same in memory and for the model loaded from a file."""
    import keras

    found = hashlib.sha256()
    for weight in model.weights:  # by name: their paths change when the model is loaded from a file
        found.update(f"{weight.name} {weight.shape}".encode())
        found.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).data)
    return found.hexdigest()
