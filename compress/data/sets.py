"""Data for training, selection and reporting: known datasets, files, or a user's function."""

from __future__ import annotations

import math
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.data.streams import arrays_of, is_stream
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.keras_model.named_function import FUNCTION, check_function, function_of

Array = NDArray[Any]
T = TypeVar("T")

KEYS = ("x_train", "y_train", "x_test", "y_test")
KEYS_IN_THREE_PARTS = ("x_train", "y_train", "x_validation", "y_validation", "x_test", "y_test")
KNOWN = ("mnist", "fashion_mnist", "cifar10", "cifar100")
POSSIBLE = f"digits, {', '.join(KNOWN)}, a .npz file with {', '.join(KEYS)}, or package.module:function"


@dataclass(frozen=True, eq=False)
class Data:
    """Inputs (n, ...) and integer labels (n,) in three parts.

    - ``x_train``, ``y_train``: to train on
    - ``x_validation``, ``y_validation``: to choose by, held out from training
    - ``x_test``, ``y_test``: for the reported figures
    - ``preparation``: how the inputs were scaled and split, for the record
    """

    name: str
    x_train: Array
    y_train: Array
    x_validation: Array
    y_validation: Array
    x_test: Array
    y_test: Array
    preparation: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scaling:
    """The scaling of the inputs, ``(x * rescale - mean) / std``.

    - ``rescale``: a factor
    - ``mean``, ``std``: one value for each channel, or one for all
    """

    rescale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        for name, values in (("rescale", (self.rescale,)), ("mean", self.mean), ("std", self.std)):
            if not all(map(math.isfinite, values)) or (name != "mean" and 0 in values):
                raise UserError(
                    f"--{name} takes finite numbers{'' if name == 'mean' else ' other than 0'}; got {values}"
                )

    def apply(self, x: Array) -> Array:
        """The scaled inputs as float32."""
        scaled = np.asarray(x, np.float32)
        if self == Scaling():
            return scaled
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, x.shape[-1]):
                raise UserError(f"--{name} has {len(getattr(self, name))} values, the data {x.shape[-1]} channels")
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        return np.asarray((scaled * np.float32(self.rescale) - mean) / std, np.float32)


def load(source: str, scaling: Scaling | None = None, validation: float = 0.15, split_seed: int = 0) -> Data:
    """The data named ``source``; see ``data_from``.

    Raises UserError for an unknown source and for arrays that don't fit together.
    """
    return data_from(_arrays(source), source, scaling, validation, split_seed)


def check_data(source: str, may_lack_labels: bool = False) -> None:
    """Raises UserError where ``load`` surely would, or ``load_inputs`` for data without labels, without any work."""
    file = Path(source) if source.endswith(".npz") else _own_file(source) if source in KNOWN else None
    if file is not None:
        with _plain_arrays(file):
            _keys(file, may_lack_labels)
    elif source not in ("digits", *KNOWN):
        _named_function(source, check_function)


def load_inputs(source: str, scaling: Scaling | None = None) -> Array:
    """The training inputs of the data named ``source``, for work that needs no labels.

    The same as from ``load``, but an .npz file may hold ``x_train`` alone, and a function may return a single array.
    Raises UserError as ``load`` does.
    """
    arrays = _npz(Path(source), may_lack_labels=True) if source.endswith(".npz") else _arrays(source)
    if len(arrays) > 1:
        return data_from(arrays, source, scaling).x_train
    x = _array(arrays[0], source)
    return (scaling or Scaling()).apply(_inputs(x, x, "train", source))


def data_from(
    arrays: Sequence[Any],
    name: str = "arrays",
    scaling: Scaling | None = None,
    validation: float = 0.15,
    split_seed: int = 0,
) -> Data:
    """Data from (x_train, y_train, x_test, y_test), optionally with (x_validation, y_validation) in between.

    Also from ``tf.data`` sets, (train, test) or (train, validation, test), each of (x, y): see ``arrays_of``.
    Without a validation part, a stratified fraction ``validation`` of the training part is split off. It depends on
    ``split_seed`` alone, so that runs with different seeds are judged on the same samples.
    Raises UserError if the arrays don't fit together.
    """
    if arrays and all(map(is_stream, arrays)):
        arrays = arrays_of(arrays, name)
    if len(arrays) not in (len(KEYS), len(KEYS_IN_THREE_PARTS)):
        raise UserError(
            f"data '{name}' must be {len(KEYS)} arrays: {', '.join(KEYS)}; or {len(KEYS_IN_THREE_PARTS)}: "
            f"{', '.join(KEYS_IN_THREE_PARTS)}; got {len(arrays)}"
        )
    x_train, y_train, *held_out, x_test, y_test = (_array(array, name) for array in arrays)
    scaling = scaling or Scaling()
    preparation = asdict(scaling)
    parts = {"train": (x_train, y_train), "test": (x_test, y_test)}
    if held_out:
        parts["validation"] = held_out[0], held_out[1]
    checked = {part: (scaling.apply(_inputs(x, y, part, name)), _labels(y, name)) for part, (x, y) in parts.items()}
    if len(shapes := {x.shape[1:] for x, _ in checked.values()}) > 1:
        raise UserError(f"data '{name}' has samples of several shapes: {', '.join(map(str, sorted(shapes)))}")
    if not held_out:
        checked |= _split(*checked["train"], validation, split_seed, name)
        preparation |= {"validation": validation, "split_seed": split_seed}
    return Data(name, *checked["train"], *checked["validation"], *checked["test"], preparation)


def _split(x: Array, y: Array, validation: float, seed: int, name: str) -> dict[str, tuple[Array, Array]]:
    """The training and the validation part, stratified if every class has at least two samples."""
    from sklearn.model_selection import train_test_split

    if not 0 < validation < 1:
        raise UserError(f"the validation part must be a fraction between 0 and 1; got {validation}")
    counts = np.unique(y, return_counts=True)[1]
    n_validation = math.ceil(validation * len(y))
    if min(n_validation, len(y) - n_validation) < len(counts):
        raise UserError(
            f"data '{name}': {validation:.0%} of {len(y)} training samples are too few to validate {len(counts)} "
            "classes on; give more, or your own x_validation and y_validation"
        )
    x_train, x_validation, y_train, y_validation = train_test_split(
        x, y, test_size=n_validation, random_state=seed, stratify=y if counts.min() > 1 else None
    )
    return {"train": (x_train, y_train), "validation": (x_validation, y_validation)}


def _array(value: Any, name: str) -> Array:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise UserError(f"data '{name}' holds something that is not an array ({error})") from error


def _inputs(x: Array, y: Array, part: str, name: str) -> Array:
    if not x.ndim or not y.ndim or len(x) != len(y) or not len(x):
        raise UserError(
            f"data '{name}': x_{part} has shape {x.shape} and y_{part} {y.shape}; both need the same number of samples"
        )
    if not np.issubdtype(x.dtype, np.number) or not np.isfinite(x).all():
        raise UserError(f"data '{name}': x_{part} must hold finite numbers")
    return x


def _labels(y: Array, name: str) -> Array:
    """Integer labels (n,), from integers, whole floats, (n, 1), or one-hot rows."""
    if not np.issubdtype(y.dtype, np.number) or not np.isfinite(y).all() or (y < 0).any() or (y != np.floor(y)).any():
        raise UserError(f"data '{name}': labels must be whole numbers from 0, or one-hot rows")
    rows = y.reshape(len(y), -1)
    if rows.shape[1] == 1:
        return np.asarray(rows[:, 0], np.int64)
    if y.ndim > 2 or (rows.max(axis=1) != 1).any() or (rows.sum(axis=1) != 1).any():
        raise UserError(
            f"data '{name}': labels of shape {y.shape} must be one-hot, with a single 1 in each row; "
            "or give one whole number per sample"
        )
    return np.asarray(rows.argmax(axis=1), np.int64)


def _arrays(source: str) -> Sequence[Any]:
    if source == "digits":
        return _digits()
    if source in KNOWN:
        return _known(source)
    if source.endswith(".npz"):
        return _npz(Path(source))
    arrays = _named_function(source, function_of)()
    if isinstance(arrays, np.ndarray):
        return (arrays,)
    if not isinstance(arrays, tuple | list):
        raise UserError(f"{source}() must return the arrays {', '.join(KEYS)}; it returned {type(arrays).__name__}")
    return arrays


def _named_function(source: str, use: Callable[[str, str], T]) -> T:
    """What ``use`` makes of a function's name and of what is possible. Raises UserError where it is no such name."""
    if not re.fullmatch(FUNCTION, source):
        raise one_of("data", source, ["digits", *KNOWN, "FILE.npz", "package.module:function"])
    return use(source, f"data may be {POSSIBLE}")


def _digits() -> tuple[Array, ...]:
    """scikit-learn's 1,797 handwritten digits, (n, 8, 8, 1) with values 0 to 16; a fixed fifth is the test part."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = digits.images.astype(np.float32)[..., np.newaxis]
    x_train, x_test, y_train, y_test = train_test_split(
        images, digits.target, test_size=0.2, random_state=0, stratify=digits.target
    )
    return x_train, y_train, x_test, y_test


def _known(name: str) -> tuple[Array, ...]:
    if file := _own_file(name):
        return _npz(file)
    import keras

    try:
        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:
        raise UserError(
            f"cannot download '{name}': {error}; put {name}.npz into a folder and set RANKLINE_DATA to it"
        ) from error
    return x_train, y_train, x_test, y_test


def _own_file(name: str) -> Path | None:
    """The file of a known set in the folder of RANKLINE_DATA, where there is one."""
    folder = os.environ.get("RANKLINE_DATA")
    file = Path(folder or "") / f"{name}.npz"
    return file if folder and file.exists() else None


def _npz(path: Path, may_lack_labels: bool = False) -> tuple[Array, ...]:
    """The arrays of a file in three parts where it has a validation part, else in two; or ``x_train`` alone."""
    with _plain_arrays(path):
        keys = _keys(path, may_lack_labels)
        with np.load(path, allow_pickle=False) as file:
            return tuple(file[key] for key in keys)


def _keys(path: Path, may_lack_labels: bool) -> Sequence[str]:
    """The names of the arrays that a file is read for. Raises UserError where it lacks one of them."""
    with zipfile.ZipFile(path) as file:  # a lone .npy array, which NumPy reads too, is no such file
        held = [name.removesuffix(".npy") for name in file.namelist()]
    keys: Sequence[str] = KEYS_IN_THREE_PARTS if {"x_validation", "y_validation"} & set(held) else KEYS
    if may_lack_labels and "x_train" in held and not set(keys) <= set(held):
        return ("x_train",)
    if missing := [key for key in keys if key not in held]:
        raise UserError(f"{path} lacks {', '.join(missing)}; it holds {', '.join(held)}")
    return keys


@contextmanager
def _plain_arrays(path: Path) -> Iterator[None]:
    """Errors of reading an .npz file as UserError."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"there is no file {path}; possible data: {POSSIBLE}") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = "; it is damaged" if isinstance(error, OSError) else f" ({error})"
        raise UserError(f"{path} is not an .npz file of plain arrays{reason}") from error
