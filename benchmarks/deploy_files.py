"""Every network of the zoo as a .tflite and an .onnx file: which convert, and how far their outputs are from Keras's.

Sizes are those that a network has without ``--input-shape``. Weights are random, of a variance that keeps the scale of
maps (He et al., "Delving Deep into Rectifiers", 2015), and a softmax at the end is left out: outputs that are all the
same, or all but one zero, would show nothing. What doesn't convert is listed with the reason. The difference is the
largest over all outputs and samples, as a fraction of the largest output; the peer is Keras itself, whose call is timed
beside the file's in the same rounds.

Run: python -m benchmarks.deploy_files [--networks lenet5,m5] [--samples 4] [--seed 0]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import keras
import numpy as np

from benchmarks.record import kept_parts, now, record
from rankline.src.compress.deploy import runtimes
from rankline.src.compress.deploy.conversion import input_shapes
from rankline.src.compress.deploy.deployed import outputs_through
from rankline.src.compress.deploy.formats import SUFFIXES
from rankline.src.compress.deploy.runtime import random_input
from rankline.src.compress.deploy.timing import timed
from rankline.src.compress.model.files import outputs_of
from rankline.src.dse.errors import UserError
from rankline.src.dse.zoo import ZOO, build

EQUAL = 1e-4

SECONDS = 3.0

PACKAGES = ("rankline", "keras", "tensorflow", "ai-edge-litert", "onnx", "onnxruntime", "tf2onnx")


def alive(model: keras.Model, seed: int) -> keras.Model:
    """The model with random weights that keep the scale of maps, and logits at its end."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        if len(weight.shape) > 1:
            weight.assign(rng.standard_normal(weight.shape) * (2 / np.prod(weight.shape[:-1])) ** 0.5)
    if getattr(model.layers[-1], "activation", None) is keras.activations.softmax:
        model.layers[-1].activation = keras.activations.linear
    return model


def files_of(model: keras.Model, samples: int) -> dict[str, Any]:
    """What became of a model in each runtime."""
    shapes = input_shapes(model, samples)
    x = [random_input(shape, one.dtype, seed=1) for shape, one in zip(shapes, model.inputs, strict=True)]
    return {name: file_of(model, name, x) for name in SUFFIXES}


def file_of(model: keras.Model, name: str, x: list[Any]) -> dict[str, Any]:
    """The difference, seconds of the conversion, bytes and milliseconds of a call; or why there is no file."""
    runtime = runtimes.get(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"network{runtime.suffix}"
        began = perf_counter()
        try:
            runtime.export(model, path)
            seconds = perf_counter() - began
            session = runtime.load(path, 1)
        except UserError as error:
            return {"converts": False, "reason": str(error)}
        pairs = zip(outputs_through(session, x), outputs_of(model, x), strict=True)
        apart = max(float(np.abs(one - other).max() / np.abs(other).max()) for one, other in pairs)
        one = [array[:1] for array in x]
        calls = {"file": session.call, "keras": lambda: outputs_of(model, one)}
        times = {key: time.minimum / 1e9 for key, time in timed(calls, SECONDS).items()}
        return {
            "converts": True,
            "difference": apart,
            "is_equal": apart <= EQUAL,
            "seconds": round(seconds, 1),
            "bytes": path.stat().st_size,
            "call_ms": round(times["file"], 3),
            "keras_eager_call_ms": round(times["keras"], 3),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default=",".join(ZOO), type=lambda text: text.split(","))
    parser.add_argument("--samples", default=4, type=int)
    parser.add_argument("--seed", default=0, type=int)
    options = parser.parse_args()
    found = kept_parts("deploy_files", tuple(ZOO), options.networks)
    for network in options.networks:
        keras.utils.set_random_seed(options.seed)
        model = alive(build(network), options.seed)
        found[network] = {"measured": now(), "params": model.count_params(), **files_of(model, options.samples)}
        print(network, found[network], flush=True)
        path = record("deploy_files", options.seed, PACKAGES, found)
    print(path)


if __name__ == "__main__":
    main()
