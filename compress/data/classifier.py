"""Whether data fits a model, and a model as a classifier."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras

from rankline.src.compress.data.arrays import Array, each, joined
from rankline.src.compress.data.sets import Data
from rankline.src.compress.data.takes import Shape, fits
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.graph import trace

SCOPE_NAME = r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*"
"""Names that TensorFlow accepts for a model that it runs; layer names are appended to that."""

X_PARTS = ("x_train", "x_validation", "x_test")


class ScaleWarning(UserWarning):
    """The inputs may be scaled differently from those that the model was trained on."""


def fitting(data: Data, model: keras.Model, classifies: bool = True) -> Data:
    """The data, checked against a model's inputs and outputs; a missing channel axis is added.

    classifies: whether the labels are numbers of classes. Raises UserError if TensorFlow cannot run the model, if
    ``check_classifier`` refuses a classifier, or if shapes or labels don't fit. Issues a ScaleWarning for inputs from 0
    to 255 that no layer rescales.
    """
    check_names(model)
    if classifies:
        check_classifier(model)
    shaped: dict[str, Any] = {part: joined(shaped_for(model, each(getattr(data, part)), data.name)) for part in X_PARTS}
    data = replace(data, **shaped)
    if classifies:
        classes = 2 if is_binary(model) else model.outputs[0].shape[-1]
        top = int(max(each(y)[0].max() for y in (data.y_train, data.y_test, data.y_validation)))
        if top >= classes:
            raise UserError(
                f"data '{data.name}' has labels up to {top}; model '{model.name}' has {classes} classes, "
                f"from 0 to {classes - 1}"
            )
        _check_folders(data, classes)
    first = each(data.x_train)[0]
    if first.min() == 0 and first.max() == 255 and not _scales(model):
        warnings.warn(
            f"the inputs of data '{data.name}' range from 0 to 255, and model '{model.name}' has no layer that scales "
            "them; if it was trained on 0 to 1, give --rescale 1/255, on -1 to 1 --rescale -1:1",
            ScaleWarning,
            stacklevel=2,
        )
    return data


def shaped_for(model: keras.Model, arrays: Sequence[Array], name: str) -> list[Array]:
    """Inputs (n, ...) as a model takes them, with a missing channel axis added. Raises UserError if they don't fit."""
    wanted = [tuple(one.shape[1:]) for one in model.inputs]
    found = shaped(arrays, wanted, name, f"model '{model.name}'")
    given = [x.shape[1:] for x in found]
    if any(None in shape for shape in wanted):
        inputs = ", ".join(f"keras.Input({shape})" for shape in given)
        x = "x" if len(given) == 1 else "*x"
        raise UserError(
            f"model '{model.name}' takes {', '.join(map(str, wanted))}, and costs depend on the sizes; fix them to "
            f"those of the data: {x} = {inputs}, keras.Model(x, model(x))"
        )
    return found


def shaped(arrays: Sequence[Array], wanted: Sequence[Shape], name: str, taker: str) -> list[Array]:
    """Inputs (n, ...) with a missing channel axis added. wanted: the shapes of samples that ``taker`` takes. Raises
    UserError if they don't fit."""
    found = [
        x[..., None] if x.ndim == len(shape) and shape[-1:] == (1,) else x
        for x, shape in zip(arrays, wanted, strict=False)
    ]
    if len(arrays) != len(wanted) or not all(map(fits, [x.shape[1:] for x in found], wanted)):
        samples, taken = (", ".join(map(str, some)) for some in ([x.shape[1:] for x in arrays], wanted))
        raise UserError(f"data '{name}' has samples of shape {samples}; {taker} takes {taken}")
    return found


def _check_folders(data: Data, classes: int) -> None:
    """Raises UserError where folders of classes are not those of the model: their numbers would be others."""
    folders = data.preparation.get("pictures", {}).get("classes", ())
    if folders and len(folders) != classes:
        raise UserError(
            f"data '{data.name}' has {len(folders)} folders of classes, and the model {classes} classes; give each "
            "class a folder (it may be empty), so that their numbers agree"
        )


def _scales(model: keras.Model) -> bool:
    """Whether a layer rescales the inputs, as Rescaling and Normalization do."""
    scaling = (keras.layers.Rescaling, keras.layers.Normalization)
    return any(isinstance(call.layer, scaling) for call in trace(model))


def check_classifier(model: keras.Model) -> None:
    """Raises UserError unless a model is a built graph to a softmax or logits over the classes, or to one sigmoid, with
    names that TensorFlow accepts."""
    check_names(model)
    if len(model.outputs) != 1:
        raise UserError(
            f"model '{model.name}' has {len(model.outputs)} outputs; one is supported in a classifier: take a part of "
            "it with keras.Model(input, output)"
        )
    needed = "a softmax or logits over the classes is needed, or one sigmoid for two classes"
    shape = tuple(model.outputs[0].shape[1:])
    if len(shape) != 1:
        raise UserError(f"model '{model.name}' gives {shape}; {needed}")
    sigmoid = output_activation(model) == "sigmoid"
    if sigmoid != (shape[0] == 1):
        raise UserError(
            f"model '{model.name}' gives {shape[0]} values {'by' if sigmoid else 'without'} a sigmoid; {needed}"
        )


def check_names(model: keras.Model) -> None:
    """Raises UserError for a model or layer whose name TensorFlow doesn't accept."""
    for name in (model.name, *(call.path for call in trace(model))):
        if keras.backend.backend() == "tensorflow" and not re.fullmatch(SCOPE_NAME, name):
            raise UserError(
                f"TensorFlow cannot run a model or layer named '{name}'; rebuild the model with names of the letters "
                "A to Z, digits and _"
            )


def is_binary(model: keras.Model) -> bool:
    """Whether the model has two classes and a single sigmoid output."""
    return model.outputs[0].shape[-1] == 1 and output_activation(model) == "sigmoid"


def output_activation(model: keras.Model) -> str:
    """The activation of the model's output, or else the class of its last layer, in lower case."""
    last = next(call.layer for call in reversed(trace(model)) if call.is_output)
    activation = getattr(last, "activation", last)
    return str(getattr(activation, "__name__", type(activation).__name__)).lower()


def frozen_layers(model: keras.Model) -> list[str]:
    """The paths of layers whose weights are not trainable: fine-tuning leaves them and their factors unchanged."""
    return list(
        dict.fromkeys(
            call.path for call in trace(model) if getattr(call.layer, "weights", ()) and not call.layer.trainable
        )
    )
