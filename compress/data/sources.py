"""What DATA may name: a known set, a file of arrays, a folder of pictures, or a user's function."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from rankline.src.compress.data.archive import ENDINGS, headers_of, read
from rankline.src.compress.data.arrays import Array
from rankline.src.compress.data.given import KEYS, Held, held_by, held_of, lacking
from rankline.src.compress.data.names import layout_of
from rankline.src.compress.data.pictures import folder_of, read_pictures
from rankline.src.compress.data.takes import Takes
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.keras_model.named_function import FUNCTION, check_function, function_of

T = TypeVar("T")

DIGITS = "digits"
KNOWN = ("mnist", "fashion_mnist", "cifar10", "cifar100")
POSSIBLE = (
    f"{DIGITS}, {', '.join(KNOWN)}, a .npz file with {', '.join(KEYS)}, a folder of pictures, or "
    "package.module:function"
)


def held_in(source: str, takes: Takes, needs_labels: bool = True, samples: int | None = None, seed: int = 0) -> Held:
    """What DATA of this name holds for a model.

    - ``needs_labels``: False where inputs alone are enough; they alone are read then where labels are missing
    - ``samples``: then so many pictures are enough where all of them don't fit into memory, drawn with ``seed``

    Raises UserError for an unknown name, and for data that can't be read.
    """
    if source == DIGITS:
        return held_by(_digits(), source, takes)
    if (file := _file(source)) is not None:
        return _from_file(file, source, takes, needs_labels)
    if source in KNOWN:
        return held_by(_downloaded(source), source, takes)
    if Path(source).is_dir():
        return read_pictures(folder_of(source), takes, needs_labels, samples, seed)
    value = _named_function(source, function_of)()
    if value is None or isinstance(value, str | bytes | Iterator):
        raise UserError(f"{source}() must return the arrays {', '.join(KEYS)}; it returned {type(value).__name__}")
    return held_by(value, source, takes)


def check_data(source: str, may_lack_labels: bool = False, takes: Takes | None = None) -> None:
    """Raises UserError where ``held_in`` surely would, without any work and without Keras.

    takes: the model, as far as it is known; None if not even the number of its inputs is.
    """
    if (file := _file(source)) is not None:
        headers = headers_of(file, POSSIBLE)
        if takes is not None:
            layout = layout_of(headers, takes, str(file))
            if layout.missing and not (may_lack_labels and layout.has_inputs):
                raise UserError(lacking(layout, str(file), list(headers)))
    elif source in (DIGITS, *KNOWN):
        return
    elif Path(source).is_dir():
        folder = folder_of(source)
        if folder.lacks and not may_lack_labels:
            raise UserError(folder.lacks)
    else:
        _named_function(source, check_function)


def _file(source: str) -> Path | None:
    """The file of arrays that DATA names, perhaps that of a known set in the folder of RANKLINE_DATA."""
    if source.endswith(ENDINGS):
        return Path(source)
    folder = os.environ.get("RANKLINE_DATA")
    file = Path(folder or "") / f"{source}.npz"
    return file if source in KNOWN and folder and file.exists() else None


def _from_file(path: Path, name: str, takes: Takes, needs_labels: bool) -> Held:
    """The arrays of a file; where labels are missing and not needed, only the inputs to calibrate on."""
    headers = headers_of(path, POSSIBLE)
    layout = layout_of(headers, takes, str(path))
    if layout.missing:
        if needs_labels or not layout.has_inputs:
            raise UserError(lacking(layout, str(path), list(headers)))
        layout = layout.inputs_alone
    try:
        return held_of(layout, read(path, headers, list(layout.names.values())), name, list(headers))
    except UserError as error:
        if needs_labels:
            raise
        # If the inputs are at fault, this raises again.
        inputs = layout.inputs_alone
        return held_of(inputs, read(path, headers, list(inputs.names.values())), name, list(headers), str(error))


def _named_function(source: str, use: Callable[[str, str], T]) -> T:
    """What ``use`` makes of a function's name and of what is possible. Raises UserError where it is no such name."""
    if not re.fullmatch(FUNCTION, source):
        raise one_of("data", source, [DIGITS, *KNOWN, "FILE.npz", "FOLDER", "package.module:function"])
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


def _downloaded(name: str) -> tuple[Array, ...]:
    import keras

    try:
        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:
        raise UserError(
            f"cannot download '{name}': {error}; put {name}.npz into a folder and set RANKLINE_DATA to it"
        ) from error
    return x_train, y_train, x_test, y_test
