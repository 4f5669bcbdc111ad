"""LiteRT: .tflite files, run by XNNPACK's kernels on the CPU."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from rankline.src.compress.deploy import conversion
from rankline.src.compress.deploy.runtime import Arrays, Content, Runtime, Session, random_input
from rankline.src.dse.errors import UserError
from rankline.src.dse.silence import silent_stderr

if TYPE_CHECKING:
    import keras


class LiteRT(Runtime):
    name = "litert"
    title = "LiteRT"
    packages = ("ai_edge_litert",)
    suffix = ".tflite"

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

    def parts(self, models: Sequence[keras.Model], batch: int) -> list[Content]:
        import tempfile

        from rankline.src.compress.deploy.tflite_file import split

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"parts{self.suffix}"
            self.export(conversion.together(models), path, batch)
            return list(split(path.read_bytes()))

    def load(self, model: Content, threads: int) -> Session:
        self.check()
        try:
            return _LiteRTSession(model, threads)
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
        for one in self.interpreter.get_input_details():
            self.interpreter.set_tensor(one["index"], random_input(one["shape"], one["dtype"]))
        self.call = self.interpreter.invoke

    def run(self, arrays: Arrays) -> list[NDArray[Any]]:
        for one, array in zip(_ordered(self.interpreter, "input"), arrays, strict=True):
            self.interpreter.set_tensor(one["index"], array)
        self.interpreter.invoke()
        return [self.interpreter.get_tensor(one["index"]) for one in _ordered(self.interpreter, "output")]


def _ordered(interpreter: Any, side: str) -> list[Any]:
    """The inputs or outputs in the model's order: that of the numbers in their names, such as ``output_10``."""
    if not interpreter.get_signature_list():
        found: list[Any] = getattr(interpreter, f"get_{side}_details")()
        return found
    by_name = getattr(interpreter.get_signature_runner(), f"get_{side}_details")()
    return [by_name[name] for name in sorted(by_name, key=lambda name: (len(name), name))]


def _lacking(message: str) -> list[tuple[str, str]]:
    """Operations that the converter's message says are neither LiteRT's nor custom ones, with their paths."""
    pattern = r"error: loc\((.*)\): 'tf\.(\w+)' op is neither a custom op nor a flex op"
    return [(name, (re.findall(r'"([^"]*/[^"]*?)@', place) or [""])[0]) for place, name in re.findall(pattern, message)]
