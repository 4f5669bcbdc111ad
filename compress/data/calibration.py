"""Calibration samples, with or without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np

from rankline.src.compress.data.classifier import fitting
from rankline.src.compress.data.sets import KNOWN, Array, Data, Scaling, data_from, load, load_inputs
from rankline.src.compress.data.streams import is_stream
from rankline.src.compress.fit.covariance import check_samples
from rankline.src.compress.model.files import outputs_of
from rankline.src.dse.errors import UserError

FINITE_ON = 64
"""Calibration samples on which the model's outputs are checked before the work starts."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """``samples``: an array (n, ...) for each input of a model, without labels; data: the labelled data from whose
    training part they were drawn, None without labels; preparation: how the inputs were scaled."""

    name: str
    samples: list[Array]
    data: Data | None
    preparation: Mapping[str, Any] = field(default_factory=dict)


def calibration_of(model: keras.Model, given: Any, samples: int = 1024, seed: int = 0) -> Calibration:
    """Up to ``samples`` calibration samples for a model, drawn with ``seed``.

    given: inputs as the model takes them (an array, or one for each input), or any data that ``rankline.compress``
    takes, of which the training part is used; a named file or function needs no labels.
    Raises UserError if there are no samples, if the model doesn't accept them, or if its outputs are NaN or infinite.
    """
    if samples < 1:
        raise UserError(f"samples must be at least 1; got {samples}")
    if given is None:
        raise UserError("there is no calibration data; give some hundreds of the model's inputs, without labels")
    if isinstance(given, str):
        given = named(given)
    data, name, inputs = _labelled(given, model), "arrays", given
    preparation: Mapping[str, Any] = {}
    if data is not None:
        data = fitting(data, model)
        name, inputs, preparation = data.name, [data.x_train], data.preparation
    elif isinstance(given, Unlabelled):
        name, inputs, preparation = given.name, [given.x], given.preparation
    drawn = _drawn(_arrays(inputs, model), samples, seed)
    check_samples(model, drawn)
    _check_outputs(model, [one[:FINITE_ON] for one in drawn])
    return Calibration(name, drawn, data, preparation)


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """Named inputs without labels; preparation: how they were scaled."""

    name: str
    x: Array
    preparation: Mapping[str, Any]


def named(source: str, scaling: Scaling | None = None, split_seed: int = 0) -> Data | Unlabelled:
    """The data of that name, or its inputs alone if it has no labels. Raises UserError."""
    try:
        return load(source, scaling, split_seed=split_seed)
    except UserError:
        if source in ("digits", *KNOWN):
            raise
        # If the data itself is at fault, this raises again.
        return Unlabelled(source, load_inputs(source, scaling), asdict(scaling or Scaling()))


def _labelled(given: Any, model: keras.Model) -> Data | None:
    """The data if it has labels, else None."""
    if isinstance(given, Data):
        return given
    if isinstance(given, Unlabelled) or hasattr(given, "shape") or not isinstance(given, Sequence):
        return None
    return None if len(given) == len(model.inputs) and not is_stream(given[0]) else data_from(given)


def _arrays(inputs: Any, model: keras.Model) -> list[Array]:
    """One array for each input, in the model's dtype; a missing channel axis is added."""
    arrays = [np.asarray(one) for one in ([inputs] if hasattr(inputs, "shape") else inputs)]
    found = []
    for array, wanted in zip(arrays, model.inputs, strict=False):
        if not np.issubdtype(array.dtype, np.number) or not np.isfinite(array).all():
            raise UserError("calibration samples must be finite numbers")
        if array.ndim == len(wanted.shape) - 1 and wanted.shape[-1] == 1:
            array = array[..., None]
        found.append(np.asarray(array, wanted.dtype))
    if len({len(one) for one in found}) > 1:
        raise UserError(f"all inputs need the same number of calibration samples; got {[len(one) for one in found]}")
    return [*found, *arrays[len(found) :]]


def _drawn(arrays: list[Array], samples: int, seed: int) -> list[Array]:
    count = len(arrays[0]) if arrays else 0
    if not count:
        raise UserError("there are no calibration samples; give some hundreds of the model's inputs")
    # In random order, so that the first of them can represent all where fewer are enough.
    chosen = np.random.default_rng(seed).choice(count, min(samples, count), replace=False)
    return [one[chosen] for one in arrays]


def _check_outputs(model: keras.Model, samples: list[Array]) -> None:
    if not all(np.isfinite(one).all() for one in outputs_of(model, samples)):
        raise UserError(
            f"model '{model.name}' gives NaN or infinity on the calibration samples; check its weights and the data's "
            "range (--rescale, --mean, --std)"
        )
