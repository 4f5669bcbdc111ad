"""Keras itself as a runtime: the compiled model on whatever backend and device it has."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.deploy.conversion import input_shapes
from rankline.src.compress.deploy.runtime import Arrays, Content, Runtime, Session, random_input
from rankline.src.compress.deploy.timing import machine
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.source import load_model
from rankline.src.dse.precision import F32


class KerasRuntime(Runtime):
    name = "keras"
    title = "Keras"
    packages = ("keras",)

    def version(self) -> str:
        return str(keras.__version__)

    def machine(self) -> str:
        """The backend with its version, then the accelerators that it has, the processor and the system."""
        backend = keras.backend.backend()
        return ", ".join([f"{backend} {version(backend)}", *_accelerators(), machine()])

    def check_threads(self, threads: int) -> None:
        """TensorFlow takes another number before it has computed anything; JAX and PyTorch use all cores."""
        running = _threads_after(threads)
        if threads != running:
            raise UserError(
                f"Keras computes with {running} threads in this process; give --threads {running}, or choose litert or "
                "onnx"
            )

    def usual_threads(self) -> int:
        """One, or those that this process computes with already."""
        return _threads_after(1)

    def export(
        self,
        model: keras.Model,
        path: Path,
        batch: int = 1,
        precision: str = F32.name,
        samples: Arrays | None = None,
    ) -> None:
        raise UserError("Keras runs .keras files as they are; to write another format choose litert or onnx")

    def write(self, model: keras.Model, path: Path, batch: int) -> None:
        self.export(model, path, batch)

    def parts(self, models: Sequence[keras.Model], batch: int, precision: str = F32.name) -> list[Content]:
        self.check(precision)
        return [_with_batch(model, batch) for model in models]

    def load(self, model: Content, threads: int) -> Session:
        """model: a Keras model whose inputs have a batch of fixed size (otherwise it is 1), or the path of one."""
        self.check_threads(threads)
        return _KerasSession(load_model(str(model)) if isinstance(model, str | Path) else model)


class _KerasSession(Session):
    def __init__(self, model: keras.Model) -> None:
        batch = model.inputs[0].shape[0] or 1
        shapes = input_shapes(model, batch)
        self.dtypes = [one.dtype for one in model.inputs]
        self.inputs = dict(zip((one.name for one in model.inputs), shapes, strict=True))
        arrays = [random_input(shape, np.dtype(one.dtype)) for shape, one in zip(shapes, model.inputs, strict=True)]
        self.compiled = _compiled(model)
        given = [keras.ops.convert_to_tensor(one) for one in arrays]
        self.call = lambda: self.compiled(given)

    def run(self, arrays: Arrays) -> list[NDArray[Any]]:
        given = [keras.ops.convert_to_tensor(one, dtype) for one, dtype in zip(arrays, self.dtypes, strict=True)]
        outputs = self.compiled(given)
        return [keras.ops.convert_to_numpy(one) for one in keras.tree.flatten(outputs)]


def _compiled(model: keras.Model) -> Callable[[list[Any]], Any]:
    """A function of the inputs that returns when the outputs are there."""
    backend = keras.backend.backend()

    def outputs(given: list[Any]) -> Any:
        return model(given[0] if len(given) == 1 else given, training=False)

    if backend == "tensorflow":
        import tensorflow as tf

        graph = tf.function(outputs)

        def on_tensorflow(given: list[Any]) -> Any:
            made = graph(given)
            tf.test.experimental.sync_devices()
            return made

        return on_tensorflow
    if backend == "jax":
        import jax

        state = [one.value for one in model.trainable_variables], [one.value for one in model.non_trainable_variables]

        @jax.jit
        def stateless(trainable: Any, fixed: Any, given: list[Any]) -> Any:
            one = given[0] if len(given) == 1 else given
            return model.stateless_call(trainable, fixed, one, training=False)[0]

        wait: Any = jax.block_until_ready
        return lambda given: wait(stateless(*state, given))
    return lambda given: [keras.ops.convert_to_numpy(one) for one in keras.tree.flatten(outputs(given))]


def _threads_after(asked: int) -> int:
    """In how many threads the backend computes once it was asked for a number."""
    running = os.cpu_count() or 1
    if keras.backend.backend() != "tensorflow":
        return running
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(asked)
    except RuntimeError:
        return tf.config.threading.get_intra_op_parallelism_threads() or running
    return asked


def _with_batch(model: keras.Model, batch: int) -> keras.Model:
    (shape,) = input_shapes(model, batch)
    given = keras.Input(batch_shape=shape, dtype=model.inputs[0].dtype)
    return keras.Model(given, model(given))


def _accelerators() -> list[str]:
    """The names of the GPUs and TPUs that the backend computes on."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        found = tf.config.list_physical_devices("GPU")
        details = [tf.config.experimental.get_device_details(one) for one in found]
        return [str(one.get("device_name", "GPU")) for one in details]
    if backend == "jax":
        import jax

        return [one.device_kind for one in jax.devices() if one.platform != "cpu"]
    import torch

    return [torch.cuda.get_device_name(one) for one in range(torch.cuda.device_count())]
