"""Models as .keras files, written atomically."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.model.destination import check_target
from rankline.src.compress.model.surgery import factorize
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.source import load_model
from rankline.src.dse.whole_file import whole_file

COMPARED_SAMPLES = 64
"""Number of samples on which the outputs of a file and of the model in memory are compared."""


def save_model(model: keras.Model, path: Path) -> None:
    """Writes a .keras file atomically, without the optimizer. Raises UserError on a bad name or folder."""
    check_target(path)
    with whole_file(path) as partial:
        factorize(model, {}).save(partial)


def saved_and_loaded(model: keras.Model, path: Path, samples: Sequence[NDArray[Any]]) -> keras.Model:
    """The model loaded from the file to which ``model`` is written; samples: an array for each input.

    Raises UserError if the file can't be written, RuntimeError if the loaded model gives other outputs.
    """
    save_model(model, path)
    loaded = load_model(str(path))
    sides = [outputs_of(side, [one[:COMPARED_SAMPLES] for one in samples]) for side in (model, loaded)]
    for one, other in zip(*sides, strict=True):
        # Wrong weights give entirely different outputs. Equal weights may differ in the last of the ten mantissa bits
        # of TF32 on a GPU, which chooses an algorithm for each model by trying several. NaN is reported where the
        # model is evaluated.
        largest = float(np.nanmax(np.abs(one), initial=0.0))
        if not np.allclose(one, other, rtol=2e-3, atol=2e-3 * largest, equal_nan=True):
            raise RuntimeError(f"{path} gives other outputs than the model in memory")
    return loaded


def check_saving(model: keras.Model, samples: Sequence[NDArray[Any]], folder: Path | None = None) -> None:
    """Raises UserError if a model can't be saved and loaded again: before hours of training, not after.

    Models made from it have the same layers, apart from stock ones. folder: where to try; by default a temporary one.
    """
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        try:
            saved_and_loaded(model, Path(temporary) / "model.keras", samples)
        except Exception as error:  # whatever a foreign layer raises
            raise UserError(
                f"model '{model.name}' cannot be saved and loaded again, nor could models made from it: {error}; use "
                "layers of Keras, or own ones with a get_config and @keras.saving.register_keras_serializable()"
            ) from error


def outputs_of(model: keras.Model, samples: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """All outputs for the samples in one batch; samples: an array for each input."""
    given = [keras.ops.convert_to_tensor(one) for one in samples]
    outputs = model(given[0] if len(given) == 1 else given, training=False)
    return [keras.ops.convert_to_numpy(one) for one in keras.tree.flatten(outputs)]
