"""Data to train, choose and report on: known sets, files, folders, or a user's function."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dse.errors import UserError, one_of

Array = NDArray[Any]

KEYS = ("x_train", "y_train", "x_test", "y_test")
KNOWN = ("mnist", "fashion_mnist", "cifar10", "cifar100")
POSSIBLE = f"digits, {', '.join(KNOWN)}, a .npz file with {', '.join(KEYS)}, or package.module:function"


@dataclass(frozen=True, eq=False)
class Data:
    """Inputs (n, ...) and integer labels (n,) in three parts.

    The validation part, held out from training, chooses; the test part is for the figures that are reported.
    """

    name: str
    x_train: Array
    y_train: Array
    x_validation: Array
    y_validation: Array
    x_test: Array
    y_test: Array


@dataclass(frozen=True)
class Scaling:
    """What is done to the inputs: ``(x * rescale - mean) / std``; mean and std per channel, or one for all."""

    rescale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def apply(self, x: Array) -> Array:
        """The scaled inputs as float32."""
        scaled = np.asarray(x, np.float32)
        if self == Scaling():
            return scaled
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, x.shape[-1]):
                raise UserError(f"--{name} has {len(getattr(self, name))} values, the data {x.shape[-1]} channels")
        if 0 in self.std:
            raise UserError("--std must not be 0")
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        return np.asarray((scaled * np.float32(self.rescale) - mean) / std, np.float32)


def load(source: str, scaling: Scaling | None = None, validation: float = 0.15, seed: int = 0) -> Data:
    """The data that ``source`` names, with a stratified validation part split off the training part.

    Raises UserError on an unknown source and on arrays that don't fit together.
    """
    return data_from(_arrays(source, seed), source, scaling, validation, seed)


def data_from(
    arrays: tuple[Array, ...],
    name: str = "arrays",
    scaling: Scaling | None = None,
    validation: float = 0.15,
    seed: int = 0,
) -> Data:
    """Data from (x_train, y_train, x_test, y_test). Raises UserError where they don't fit together."""
    from sklearn.model_selection import train_test_split

    if len(arrays) != len(KEYS):
        raise UserError(f"data '{name}' must be {len(KEYS)} arrays: {', '.join(KEYS)}; got {len(arrays)}")
    x_train, y_train, x_test, y_test = (np.asarray(array) for array in arrays)
    y_train, y_test = _labels(y_train, name), _labels(y_test, name)
    for part, x, y in (("train", x_train, y_train), ("test", x_test, y_test)):
        if len(x) != len(y) or not len(x):
            raise UserError(f"data '{name}': x_{part} has {len(x)} samples and y_{part} {len(y)} labels")
        if not np.issubdtype(x.dtype, np.number) or not np.isfinite(x).all():
            raise UserError(f"data '{name}': x_{part} must hold finite numbers")
    if x_train.shape[1:] != x_test.shape[1:]:
        raise UserError(f"data '{name}': x_train is of shape {x_train.shape[1:]}, x_test of {x_test.shape[1:]}")
    if not 0 < validation < 1:
        raise UserError(f"the validation part must be a fraction between 0 and 1; got {validation}")
    scale = (scaling or Scaling()).apply
    counts = np.unique(y_train, return_counts=True)[1]
    x_fit, x_validation, y_fit, y_validation = train_test_split(
        scale(x_train), y_train, test_size=validation, random_state=seed, stratify=y_train if counts.min() > 1 else None
    )
    return Data(name, x_fit, y_fit, x_validation, y_validation, scale(x_test), y_test)


def fitting(data: Data, model: Any) -> Data:
    """The data, checked against a model's input and output; a missing channel axis is added.

    Raises UserError where shapes or labels don't fit.
    """
    wanted = tuple(model.inputs[0].shape[1:])
    if len(model.inputs) > 1:
        raise UserError(f"model '{model.name}' has {len(model.inputs)} inputs; training data for one is supported")
    if data.x_train.ndim == len(wanted) and wanted[-1] == 1:
        parts = ("x_train", "x_validation", "x_test")
        data = replace(data, **{part: getattr(data, part)[..., np.newaxis] for part in parts})
    given = data.x_train.shape[1:]
    if len(given) != len(wanted) or any(w not in (None, g) for w, g in zip(wanted, given, strict=True)):
        raise UserError(f"data '{data.name}' has samples of shape {given}; model '{model.name}' takes {wanted}")
    classes = model.outputs[0].shape[-1]
    top = int(max(data.y_train.max(), data.y_test.max(), data.y_validation.max()))
    if len(model.outputs[0].shape) != 2 or top >= classes:
        raise UserError(
            f"data '{data.name}' has labels up to {top}; model '{model.name}' gives {tuple(model.outputs[0].shape[1:])}"
            ", one value per class is needed"
        )
    return data


def _labels(y: Array, name: str) -> Array:
    """Integer labels (n,), from integers, whole floats, (n, 1), or one-hot rows."""
    if y.ndim == 2 and y.shape[1] > 1:
        y = y.argmax(axis=1)
    y = y.reshape(len(y), -1)[:, 0] if y.ndim > 1 else y
    if not np.issubdtype(y.dtype, np.number) or (y < 0).any() or (y != np.floor(y)).any():
        raise UserError(f"data '{name}': labels must be whole numbers from 0, or one-hot rows")
    return y.astype(np.int64)


def _arrays(source: str, seed: int) -> tuple[Array, ...]:
    if source == "digits":
        return _digits(seed)
    if source in KNOWN:
        return _known(source)
    if source.endswith(".npz"):
        return _npz(Path(source))
    module, _, function = source.partition(":")
    if function:
        return tuple(_function(module, function)())
    raise one_of("data", source, ["digits", *KNOWN, "FILE.npz", "package.module:function"])


def _digits(seed: int) -> tuple[Array, ...]:
    """scikit-learn's 1,797 handwritten digits, (n, 8, 8, 1) with values 0 to 16; a fifth is the test part."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = digits.images.astype(np.float32)[..., np.newaxis]
    x_train, x_test, y_train, y_test = train_test_split(
        images, digits.target, test_size=0.2, random_state=seed, stratify=digits.target
    )
    return x_train, y_train, x_test, y_test


def _known(name: str) -> tuple[Array, ...]:
    folder = os.environ.get("RANKLINE_DATA")
    if folder and (Path(folder) / f"{name}.npz").exists():
        return _npz(Path(folder) / f"{name}.npz")
    import keras

    try:
        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:
        raise UserError(
            f"cannot download '{name}': {error}; put {name}.npz into a folder and set RANKLINE_DATA to it"
        ) from error
    return x_train, y_train, x_test, y_test


def _npz(path: Path) -> tuple[Array, ...]:
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [key for key in KEYS if key not in file]
            if missing:
                raise UserError(f"{path} lacks {', '.join(missing)}; it holds {', '.join(file.files)}")
            return tuple(file[key] for key in KEYS)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}; possible data: {POSSIBLE}") from None
    except (ValueError, OSError, EOFError) as error:
        raise UserError(f"{path} is not an .npz file of plain arrays ({error})") from error


def _function(module: str, name: str) -> Callable[[], Any]:
    try:
        return getattr(import_module(module), name)  # type: ignore[no-any-return]
    except (ImportError, AttributeError) as error:
        raise UserError(f"cannot take data from {module}:{name}: {error}") from error
