"""ONNX Runtime: .onnx files, run on the CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.deploy import conversion
from rankline.src.compress.deploy.batches import in_batches
from rankline.src.compress.deploy.chains import TILE
from rankline.src.compress.deploy.runtime import Arrays, Content, Runtime, Session, random_input, random_samples
from rankline.src.dse.errors import UserError
from rankline.src.dse.precision import F32, PRECISIONS, Precision, precision_named

if TYPE_CHECKING:
    import keras

DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}
"""By ONNX Runtime's names."""


class ONNXRuntime(Runtime):
    name = "onnx"
    title = "ONNX Runtime"
    packages = ("onnxruntime", "onnx", "tf2onnx")
    suffix = ".onnx"
    pads = True
    precisions = tuple(PRECISIONS)

    def version(self) -> str:
        return version("onnxruntime")

    def write(self, model: keras.Model, path: Path, batch: int) -> None:
        from rankline.src.compress.deploy.onnx_file import foreign_operations
        from rankline.src.compress.deploy.onnx_rewritten import rewrite
        from rankline.src.compress.deploy.padded import pad_ranks

        try:
            conversion.write(model, path, "onnx", batch)
        except UserError:
            raise
        except Exception as error:  # whatever converters raise
            raise conversion.failure(self.title, model, error) from error
        rewrite(path)
        if lacking := foreign_operations(path):
            raise conversion.refusal(self.title, model, lacking)
        pad_ranks(path, TILE)

    def quantize(self, path: Path, precision: Precision, batches: Iterable[Arrays]) -> None:
        from rankline.src.compress.deploy.onnx_quantization import quantize

        quantize(path, precision, batches)

    def shrink(self, path: Path) -> None:
        from rankline.src.compress.deploy.onnx_shrunk import shrink

        shrink(path)

    def parts(self, models: Sequence[keras.Model], batch: int, precision: str = F32.name) -> list[Content]:
        from rankline.src.compress.deploy.onnx_file import split

        self.check(precision)
        wanted = precision_named(precision)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"parts{self.suffix}"
            self.export(conversion.together(models), path, batch)
            if wanted != F32:
                self.quantize(path, wanted, in_batches(random_samples(models, batch), batch))
            return list(split(path))

    def load(self, model: Content, threads: int) -> Session:
        self.check()
        try:
            return _ONNXSession(model, threads)
        except UserError:
            raise
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
        loaded = str(model) if isinstance(model, Path) else model
        self.session = onnxruntime.InferenceSession(loaded, options, providers=["CPUExecutionProvider"])
        given = self.session.get_inputs()
        self.inputs = {one.name: _fixed(one.name, one.shape) for one in given}
        self.dtypes = [np.dtype(DTYPES[one.type]) for one in given]
        arrays = [random_input(shape, dtype) for shape, dtype in zip(self.inputs.values(), self.dtypes, strict=True)]
        self.values = [onnxruntime.OrtValue.ortvalue_from_numpy(one) for one in (*arrays, *self.run(arrays))]
        binding = self.session.io_binding()
        for name, value in zip(self.inputs, self.values, strict=False):
            binding.bind_ortvalue_input(name, value)
        for one, value in zip(self.session.get_outputs(), self.values[len(arrays) :], strict=True):
            binding.bind_ortvalue_output(one.name, value)
        self.call = lambda: self.session.run_with_iobinding(binding)

    def run(self, arrays: Arrays) -> list[NDArray[Any]]:
        taken = [array.astype(dtype, copy=False) for array, dtype in zip(arrays, self.dtypes, strict=True)]
        found: list[NDArray[Any]] = self.session.run(None, dict(zip(self.inputs, taken, strict=True)))
        return found


def _fixed(name: str, shape: Sequence[int | str | None]) -> tuple[int, ...]:
    """An input's shape, in which a batch of any size is 1. Raises UserError where another size is open."""
    sizes = [1, *shape[1:]] if shape and not isinstance(shape[0], int) else list(shape)
    if not all(isinstance(one, int) for one in sizes):
        shown = ", ".join(str(one or "?") for one in shape)
        raise UserError(
            f"its input '{name}' has the shape ({shown}), whose sizes are not fixed; export it with fixed ones"
        )
    return tuple(int(one) for one in sizes)  # type: ignore[arg-type]
