"""A model as a classifier: its inputs, its outputs, and whether data fits it."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace

import keras

from rankline.src.compress.data.sets import Data
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.graph import trace

SCOPE_NAME = r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*"
"""Names that TensorFlow accepts for a model that it runs; layer names are appended to that."""


class ScaleWarning(UserWarning):
    """The inputs may be scaled differently from those that the model was trained on."""


def fitting(data: Data, model: keras.Model) -> Data:
    """The data, checked against a model's input and output; a missing channel axis is added.

    Raises UserError if ``check_classifier`` refuses the model, or if shapes or labels don't fit. Issues a ScaleWarning
    for inputs from 0 to 255 that no layer rescales.
    """
    check_classifier(model)
    wanted = tuple(model.inputs[0].shape[1:])
    if data.x_train.ndim == len(wanted) and wanted[-1] == 1:
        parts = ("x_train", "x_validation", "x_test")
        data = replace(data, **{part: getattr(data, part)[..., None] for part in parts})
    given = data.x_train.shape[1:]
    if len(given) != len(wanted) or any(w not in (None, g) for w, g in zip(wanted, given, strict=True)):
        raise UserError(f"data '{data.name}' has samples of shape {given}; model '{model.name}' takes {wanted}")
    if None in wanted:
        raise UserError(
            f"model '{model.name}' takes {wanted}, and costs depend on the sizes; fix them to those of the data: "
            f"x = keras.Input({given}), keras.Model(x, model(x))"
        )
    classes = 2 if is_binary(model) else model.outputs[0].shape[-1]
    top = int(max(data.y_train.max(), data.y_test.max(), data.y_validation.max()))
    if top >= classes:
        raise UserError(
            f"data '{data.name}' has labels up to {top}; model '{model.name}' has {classes} classes, "
            f"from 0 to {classes - 1}"
        )
    if data.x_train.min() == 0 and data.x_train.max() == 255 and not _scales(model):
        warnings.warn(
            f"the inputs of data '{data.name}' range from 0 to 255, and model '{model.name}' has no layer that scales "
            "them; if it was trained on 0 to 1, give --rescale 1/255",
            ScaleWarning,
            stacklevel=2,
        )
    return data


def _scales(model: keras.Model) -> bool:
    """Whether a layer rescales the inputs, as Rescaling and Normalization do."""
    scaling = (keras.layers.Rescaling, keras.layers.Normalization)
    return any(isinstance(call.layer, scaling) for call in trace(model))


def check_classifier(model: keras.Model) -> None:
    """Raises UserError unless a model is a built graph from one input to a softmax or logits over the classes, or to
    one sigmoid, with names that TensorFlow accepts."""
    names = [model.name, *(call.path for call in trace(model))]
    for name in names:
        if keras.backend.backend() == "tensorflow" and not re.fullmatch(SCOPE_NAME, name):
            raise UserError(
                f"TensorFlow cannot run a model or layer named '{name}'; rebuild the model with names of the letters "
                "A to Z, digits and _"
            )
    for what, tensors in (("inputs", model.inputs), ("outputs", model.outputs)):
        if len(tensors) != 1:
            raise UserError(
                f"model '{model.name}' has {len(tensors)} {what}; one is supported: take a part of it with "
                "keras.Model(input, output)"
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
