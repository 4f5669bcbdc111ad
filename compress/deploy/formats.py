"""Which runtime a file is for, by its suffix. Imports no runtime, so that mistakes are told at once."""

from __future__ import annotations

from pathlib import Path

from rankline.src.dse.errors import UserError, one_of

RUNTIMES = {".tflite": "litert", ".onnx": "onnx", ".keras": "keras"}
"""The runtime of a suffix."""

SUFFIXES = {name: suffix for suffix, name in RUNTIMES.items() if name != "keras"}
"""The suffix of what is written for a runtime."""


def runtime_of(path: Path) -> str:
    """The name of the runtime that runs a file. Raises UserError for a file of another kind and for none."""
    if path.suffix not in RUNTIMES:
        raise UserError(f"'{path}' is no file that a runtime here runs; give a {', '.join(RUNTIMES)} file")
    if not path.is_file():
        raise UserError(f"cannot read '{path}': there is no such file; give a {', '.join(RUNTIMES)} file")
    return RUNTIMES[path.suffix]


def target_of(path: Path, to: str | None) -> str:
    """The runtime to write ``path`` for: ``to``, or that of its suffix. Raises UserError for one that has no files."""
    if to is not None and to not in SUFFIXES:
        raise one_of("runtime to write for", to, list(SUFFIXES))
    found = to or RUNTIMES.get(path.suffix)
    if found not in SUFFIXES:
        raise UserError(f"a model is written as a {' or '.join(SUFFIXES.values())} file; got '{path.name}'")
    return found
