"""What the formats share: a model written by Keras's own ``export`` for a fixed batch, and why it can't be."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from rankline.src.dse.errors import UserError
from rankline.src.dse.silence import silent_stderr

SHOWN = 200
"""Characters of a library's message that are told."""


def write(model: keras.Model, path: Path, form: str, batch: int) -> None:
    """Writes a built model by ``model.export`` for a batch of that size. Libraries are silent.

    form: ``litert`` or ``onnx``. Raises UserError for inputs without fixed sizes; what Keras and its converters raise
    otherwise passes.
    """
    shapes = input_shapes(model, batch)
    specs = [
        keras.InputSpec(shape=shape, dtype=one.dtype, name=name)
        for one, shape, name in zip(model.inputs, shapes, _names(model), strict=True)
    ]
    zeros = [keras.ops.zeros(spec.shape, spec.dtype) for spec in specs]
    with quiet():
        model(zeros[0] if len(zeros) == 1 else zeros, training=False)  # the exporter to ONNX asks for a call
        model.export(str(path), format=form, verbose=False, input_signature=specs if len(specs) == 1 else [specs])


def input_shapes(model: keras.Model, batch: int) -> list[tuple[int, ...]]:
    """The shapes of a model's inputs. Raises UserError where a size isn't fixed or the model is not built."""
    if not model.built or not hasattr(model, "inputs"):
        raise UserError(f"model '{model.name}' is not built; call it on data, or give it a keras.Input")
    shapes = [tuple(one.shape[1:]) for one in model.inputs]
    for shape in shapes:
        if None in shape:
            raise UserError(
                f"model '{model.name}' has an input of shape {shape}, whose size is not fixed; make it with a "
                "keras.Input of fixed sizes"
            )
    return [(batch, *shape) for shape in shapes]


def together(models: Sequence[keras.Model]) -> keras.Model:
    """One model of several with one input and one output each, so that they are converted at once."""
    return keras.Model([one.inputs[0] for one in models], [one.outputs[0] for one in models])


def refusal(title: str, model: keras.Model, operations: Sequence[tuple[str, str]]) -> UserError:
    """The error for operations, with their paths in the graph, that a format lacks."""
    told = []
    for operation, path in dict.fromkeys(operations):
        layer = layer_at(model, path)
        told.append(f"'{operation}'" + (f" of layer '{layer}'" if layer else ""))
    return UserError(
        f"{title} has no operation {', '.join(dict.fromkeys(told))}, which model '{model.name}' needs; "
        "replace that layer, or choose another runtime"
    )


def failure(title: str, model: keras.Model, error: Exception) -> UserError:
    """The error for a conversion that failed for another reason."""
    if keras.backend.backend() == "jax" and ("backend" in str(error) or "jax" in str(error)):
        return UserError(f"{title}: Keras writes this format with TensorFlow; run this with KERAS_BACKEND=tensorflow")
    reason = " ".join(str(error).split())[:SHOWN] or type(error).__name__
    return UserError(f"model '{model.name}' can't be written for {title}: {reason}; replace the layer that it names")


def layer_at(model: keras.Model, path: str) -> str | None:
    """The name of the layer that an operation's path in the graph leads through; the innermost one."""
    names = {layer.name for layer in _layers(model)}
    for part in reversed(path.split("/")):
        for name in (part, re.sub(r"_\d+$", "", part)):
            if name in names:
                return name
    return None


@contextmanager
def quiet() -> Iterator[None]:
    """Without warnings, log lines and native messages of converters, which are for their programmers."""
    logger = logging.getLogger("tf2onnx")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), silent_stderr():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _layers(model: Any) -> Iterator[Any]:
    for layer in getattr(model, "layers", ()):
        yield layer
        yield from _layers(layer)


def _names(model: keras.Model) -> list[str]:
    """A single input's name, if it is plain; numbered ones of several, because LiteRT sorts them by name."""
    names = [str(one.name) for one in model.inputs]
    if len(names) == 1 and re.fullmatch(r"[A-Za-z]\w*", names[0]):
        return names
    return [f"input_{j}" for j in range(len(names))]
