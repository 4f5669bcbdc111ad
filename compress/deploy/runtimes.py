"""The registry of runtimes: adding one takes its file and one line here."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from rankline.src.compress.deploy.runtime import Runtime
from rankline.src.dse.errors import one_of

CLASSES = {
    "litert": ("litert", "LiteRT"),
    "onnx": ("onnx", "ONNXRuntime"),
    "keras": ("keras_runtime", "KerasRuntime"),
}
"""The file and the class of each runtime: loaded at first use."""


@cache
def get(name: str) -> Runtime:
    """The runtime of that name, whose packages may be missing. Raises UserError with the possible ones."""
    if name not in CLASSES:
        raise one_of("runtime", name, list(CLASSES))
    file, class_name = CLASSES[name]
    found: Runtime = getattr(import_module(f"rankline.src.compress.deploy.{file}"), class_name)()
    return found
