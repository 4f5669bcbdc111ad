"""ONNX Runtime: .onnx files, run on the CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from rankline.src.compress.deploy import conversion
from rankline.src.compress.deploy.chains import TILE
from rankline.src.compress.deploy.runtime import Arrays, Content, Runtime, Session, random_input
from rankline.src.dse.errors import UserError

if TYPE_CHECKING:
    import keras

DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(int32)": "int32", "tensor(int64)": "int64"}
"""Of the inputs that Keras exports, by ONNX Runtime's names."""


class ONNXRuntime(Runtime):
    name = "onnx"
    title = "ONNX Runtime"
    packages = ("onnxruntime", "onnx", "tf2onnx")
    suffix = ".onnx"
    pads = True

    def version(self) -> str:
        return version("onnxruntime")

    def write(self, model: keras.Model, path: Path, batch: int) -> None:
        from rankline.src.compress.deploy.onnx_file import foreign_operations
        from rankline.src.compress.deploy.padded import pad_ranks

        try:
            conversion.write(model, path, "onnx", batch)
        except UserError:
            raise
        except Exception as error:  # whatever converters raise
            raise conversion.failure(self.title, model, error) from error
        if lacking := foreign_operations(path):
            raise conversion.refusal(self.title, model, lacking)
        pad_ranks(path, TILE)

    def parts(self, models: Sequence[keras.Model], batch: int) -> list[Content]:
        from rankline.src.compress.deploy.onnx_file import split

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"parts{self.suffix}"
            self.export(conversion.together(models), path, batch)
            return list(split(path))

    def load(self, model: Content, threads: int) -> Session:
        self.check()
        try:
            return _ONNXSession(model, threads)
        except Exception as error:  # classes of its own, which it doesn't export
            named = f"'{model}'" if isinstance(model, Path) else "the model"
            raise UserError(f"{self.title} can't run {named}: {' '.join(str(error).split())[:300]}") from error


class _ONNXSession(Session):
    """Inputs and outputs are bound once, so that a call copies nothing."""

    def __init__(self, model: Content, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4
        given = str(model) if isinstance(model, Path) else model
        self.session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
        self.names = [one.name for one in self.session.get_inputs()]
        arrays = [random_input(one.shape, DTYPES[one.type]) for one in self.session.get_inputs()]
        self.values = [onnxruntime.OrtValue.ortvalue_from_numpy(one) for one in (*arrays, *self.run(arrays))]
        binding = self.session.io_binding()
        for name, value in zip(self.names, self.values, strict=False):
            binding.bind_ortvalue_input(name, value)
        for one, value in zip(self.session.get_outputs(), self.values[len(arrays) :], strict=True):
            binding.bind_ortvalue_output(one.name, value)
        self.call = lambda: self.session.run_with_iobinding(binding)

    def run(self, arrays: Arrays) -> list[NDArray[Any]]:
        found: list[NDArray[Any]] = self.session.run(None, dict(zip(self.names, arrays, strict=True)))
        return found
