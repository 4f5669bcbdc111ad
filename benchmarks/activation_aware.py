"""Factorizing against the inputs that a layer really gets, against factorizing its weights: ResNet-20 on CIFAR-10.

Every convolution keeps the same share of its FLOPs, with the same ranks on both sides and no fine-tuning. What differs
is whether the factors minimise the error of the weights, or that of the outputs on calibration images, of which no
labels are used. Run: python -m benchmarks.activation_aware
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import keras
import numpy as np

from benchmarks.record import record
from rankline.src.compress.data.scaling import Scaling
from rankline.src.compress.fit.covariance import covariances
from rankline.src.compress.methods import get
from rankline.src.compress.model.surgery import factorize, find_layer
from rankline.src.compress.training.fine_tuning import evaluate
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.keras_model.reader import read
from rankline.src.dse.layer import Layer
from rankline.src.dse.plan import Plan
from rankline.src.dse.space import spaces_of

DATA = Path(os.environ.get("RANKLINE_DATA", "../shared/data"))
SCALING = Scaling(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SHARES = (0.8, 0.6, 0.5)
METHODS = ("svd", "tucker")


def plan_of(model: keras.Model, layers: Sequence[Layer], method: str, share: float) -> tuple[Plan, int]:
    """For every convolution the ranks of least weight error within a share of its FLOPs; and the FLOPs of them all.

    The first convolution and the dense layer stay: they are a hundredth of the network.
    """
    plan, flops = {}, 0
    for layer in layers:
        (space,) = spaces_of(layer, (method,))
        (branch,) = space.branches
        (table,) = get(method).spectrum(keras.ops.convert_to_numpy(find_layer(model, layer.name).kernel)).values()
        choices = list(product(*(range(1, cap + 1) for cap in branch.polynomials.caps)))
        errors = table.errors(np.array(choices))
        for ranks in (choices[index] for index in np.argsort(errors, kind="stable")):
            cost = branch.polynomials.flops.at(ranks)
            if cost <= share * space.original.flops:
                plan[layer.name] = Configuration(method, ranks)
                flops += cost
                break
    return plan, flops


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibration", type=int, default=1024, help="training images")
    parser.add_argument("--test", type=int, default=2000, help="test images")
    options = parser.parse_args(arguments)
    model = keras.saving.load_model(DATA / "models" / "resnet20_cifar10.keras", compile=False)
    with np.load(DATA / "cifar10.npz") as arrays:
        calibration = SCALING.apply(arrays["x_train"][: options.calibration])
        x, y = SCALING.apply(arrays["x_test"][: options.test]), arrays["y_test"][: options.test].reshape(-1)
    layers = [layer for layer in read(model) if layer.kind == "conv" and layer.in_channels > 3]
    original = sum(space.original.flops for layer in layers for space in spaces_of(layer, ("svd",)))
    started = perf_counter()
    moments = {
        path: one.matrix for path, one in covariances(model, calibration, [layer.name for layer in layers]).items()
    }
    covariance_s = perf_counter() - started
    print(f"covariances of {len(moments)} layers on {len(calibration)} images: {covariance_s:.1f} s")
    rows: list[dict[str, Any]] = []
    print(f"{'method':8}{'FLOPs kept':>12}{'weights':>10}{'activations':>13}  top-1 on {len(x)} test images")
    for method, share in product(METHODS, SHARES):
        plan, flops = plan_of(model, layers, method, share)
        top1 = [evaluate(factorize(model, plan, covariances=given), x, y).accuracy for given in (None, moments)]
        rows.append({"method": method, "share": share, "flops_kept": flops / original,
                     "top1_weights": top1[0], "top1_activation_aware": top1[1]})  # fmt: skip
        print(f"{method:8}{flops / original:12.1%}{top1[0]:10.2%}{top1[1]:13.2%}")
    figures = {
        "network": "resnet20_cifar10",
        "calibration_images": len(calibration),
        "test_images": len(x),
        "top1_original": evaluate(model, x, y).accuracy,
        "covariance_s": covariance_s,
        "rows": rows,
    }
    print(record("activation_aware", 0, ("keras", "numpy", "tensorflow"), figures))


if __name__ == "__main__":
    main()
