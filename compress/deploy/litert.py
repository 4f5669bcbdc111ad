"""LiteRT: .tflite files, run by XNNPACK's kernels on the CPU."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.deploy import conversion
from rankline.src.compress.deploy.batches import in_batches
from rankline.src.compress.deploy.runtime import Arrays, Content, Runtime, Session, random_input, random_samples
from rankline.src.dse.errors import UserError
from rankline.src.dse.precision import F32, PRECISIONS, Precision, precision_named
from rankline.src.dse.silence import silent_stderr

if TYPE_CHECKING:
    import keras


class LiteRT(Runtime):
    name = "litert"
    title = "LiteRT"
    packages = ("ai_edge_litert",)
    quantizers = ("litert_quantizer",)
    suffix = ".tflite"
    precisions = tuple(PRECISIONS)

    def version(self) -> str:
        return version("ai-edge-litert")

    def write(self, model: keras.Model, path: Path, batch: int) -> None:
        from rankline.src.compress.deploy.tflite_file import foreign_operations

        try:
            conversion.write(model, path, "litert", batch)
        except UserError:
            raise
        except Exception as error:  # whatever converters raise
            if lacking := _lacking(str(error)):
                raise conversion.refusal(self.title, model, lacking) from error
            raise conversion.failure(self.title, model, error) from error
        if lacking := foreign_operations(path.read_bytes()):
            raise conversion.refusal(self.title, model, lacking)

    def quantize(self, path: Path, precision: Precision, batches: Iterable[Arrays]) -> None:
        from rankline.src.compress.deploy.litert_quantization import quantized

        content = path.read_bytes()
        path.write_bytes(quantized(content, precision, batches, _input_names(content)))

    def shrink(self, path: Path) -> None:
        from rankline.src.compress.deploy.tflite_shrunk import shrunk

        path.write_bytes(shrunk(path.read_bytes()))

    def parts(self, models: Sequence[keras.Model], batch: int, precision: str = F32.name) -> list[Content]:
        import tempfile

        from rankline.src.compress.deploy.litert_quantization import quantized
        from rankline.src.compress.deploy.tflite_file import split

        self.check(precision)
        wanted = precision_named(precision)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"parts{self.suffix}"
            self.export(conversion.together(models), path, batch)
            content = path.read_bytes()
        if wanted != F32:
            batches = in_batches(random_samples(models, batch), batch)
            content = quantized(content, wanted, batches, _input_names(content), has_float_ends=False)
        return list(split(content))

    def load(self, model: Content, threads: int) -> Session:
        self.check()
        try:
            return _LiteRTSession(model, threads)
        except UserError:
            raise
        except (ValueError, RuntimeError) as error:
            named = f"'{model}'" if isinstance(model, Path) else "the model"
            raise UserError(f"{self.title} can't run {named}: {' '.join(str(error).split())[:300]}") from error


class _LiteRTSession(Session):
    def __init__(self, model: Content, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        given = {"model_path": str(model)} if isinstance(model, Path) else {"model_content": model}
        with silent_stderr():  # XNNPACK says that it is there
            self.interpreter = Interpreter(**given, num_threads=threads)
            self.interpreter.allocate_tensors()
        given, made = (_ordered(self.interpreter, side) for side in ("input", "output"))
        self.inputs = {name: _fixed(name, one) for name, one in given.items()}
        self.given, self.made = list(given.values()), list(made.values())
        for one in self.given:
            dtype = np.float32 if _stands_for_floats(one) else one["dtype"]
            self.interpreter.set_tensor(one["index"], _stored(random_input(one["shape"], dtype), one))
        self.call = self.interpreter.invoke

    def run(self, arrays: Arrays) -> list[NDArray[Any]]:
        for one, array in zip(self.given, arrays, strict=True):
            self.interpreter.set_tensor(one["index"], _stored(array, one))
        self.interpreter.invoke()
        return [_meant(self.interpreter.get_tensor(one["index"]), one) for one in self.made]


def _stored(array: NDArray[Any], tensor: Any) -> NDArray[Any]:
    """An array as a tensor takes it: integers where these stand for floats."""
    dtype, (scale, zero) = np.dtype(tensor["dtype"]), tensor["quantization"]
    if not _stands_for_floats(tensor):
        return array.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    found: NDArray[Any] = np.clip(np.rint(array / scale) + zero, limits.min, limits.max).astype(dtype)
    return found


def _meant(array: NDArray[Any], tensor: Any) -> NDArray[Any]:
    """The floats that a tensor's values stand for."""
    scale, zero = tensor["quantization"]
    if not _stands_for_floats(tensor):
        return array
    found: NDArray[Any] = ((array.astype(np.float32) - zero) * scale).astype(np.float32)
    return found


def _stands_for_floats(tensor: Any) -> bool:
    return bool(tensor["quantization"][0]) and np.issubdtype(tensor["dtype"], np.integer)


def _input_names(content: bytes) -> list[str]:
    """The names of a model's inputs in its signature, in the model's order."""
    from ai_edge_litert.interpreter import Interpreter

    with silent_stderr():
        interpreter = Interpreter(model_content=content)
    (one,) = interpreter.get_signature_list().values()
    return sorted(one["inputs"], key=_by_number)


def _by_number(name: str) -> tuple[int, str]:
    return len(name), name


def _fixed(name: str, tensor: Any) -> tuple[int, ...]:
    """An input's shape, in which a batch of any size is 1. Raises UserError where another size is open."""
    if any(size < 0 for size in tensor["shape_signature"][1:]):
        shown = ", ".join("?" if size < 0 else str(size) for size in tensor["shape_signature"])
        raise UserError(
            f"its input '{name}' has the shape ({shown}), whose sizes are not fixed; export it with fixed ones"
        )
    return tuple(map(int, tensor["shape"]))


def _ordered(interpreter: Any, side: str) -> dict[str, Any]:
    """The inputs or outputs in the model's order: that of the numbers in their names, such as ``output_10``."""
    if not interpreter.get_signature_list():
        return {str(one["name"]): one for one in getattr(interpreter, f"get_{side}_details")()}
    by_name = getattr(interpreter.get_signature_runner(), f"get_{side}_details")()
    return {name: by_name[name] for name in sorted(by_name, key=_by_number)}


def _lacking(message: str) -> list[tuple[str, str]]:
    """Operations that the converter's message says are neither LiteRT's nor custom ones, with their paths."""
    pattern = r"error: loc\((.*)\): 'tf\.(\w+)' op is neither a custom op nor a flex op"
    return [(name, (re.findall(r'"([^"]*/[^"]*?)@', place) or [""])[0]) for place, name in re.findall(pattern, message)]
