"""Times the models of a bundle on the machine where it is run: ``python run.py`` writes result.json beside it.

It needs NumPy and one of ai_edge_litert, tflite_runtime and tensorflow. ``bundle.py`` joins this file and the harness.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from rankline.src.compress.deploy.timing import machine, timed, typical_spread

PACKAGES = ("ai-edge-litert", "tflite-runtime", "tensorflow")
SECONDS = 60.0


def interpreter_class() -> tuple[Any, str]:
    """The interpreter that is there, and its package."""
    try:
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter, PACKAGES[0]
    except ImportError:
        pass
    try:
        from tflite_runtime.interpreter import Interpreter

        return Interpreter, PACKAGES[1]
    except ImportError:
        pass
    try:
        from tensorflow.lite import Interpreter

        return Interpreter, PACKAGES[2]
    except ImportError:
        sys.exit("no runtime is installed here; run: pip install ai-edge-litert")


def call_of(interpreter: Any) -> Any:
    """One inference on fixed random inputs."""
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for one in interpreter.get_input_details():
        interpreter.set_tensor(one["index"], rng.standard_normal(one["shape"]).astype(one["dtype"]))
    interpreter.invoke()
    return interpreter.invoke


def main() -> None:
    folder = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
        manifest = json.load(file)
    made, package = interpreter_class()
    models = np.load(os.path.join(folder, manifest["models"]))
    interpreters, calls = {}, {}
    for number in range(len(manifest["chains"])):
        try:
            one = made(model_content=models[str(number)].tobytes(), num_threads=manifest["threads"])
            calls[number] = call_of(one)
        except (RuntimeError, ValueError) as error:
            print(f"operation {number} is left out: {error}", file=sys.stderr)
        else:
            interpreters[number] = one
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    print(f"timing {len(calls)} operations for up to {seconds:g} seconds", file=sys.stderr)
    times = timed(calls, seconds)
    try:
        release = version(package)
    except PackageNotFoundError:
        release = "unknown"
    result = {
        "format": 1,
        "bundle": manifest["digest"],
        "version": release if package == PACKAGES[0] else f"{release} of {package}",
        "machine": machine(),
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
        "spread": typical_spread([one.spread for one in times.values()]),
        "picoseconds": [times[j].minimum if j in times else None for j in range(len(manifest["chains"]))],
    }
    path = os.path.join(folder, "result.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
    print(f"wrote {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
