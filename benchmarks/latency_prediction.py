"""Predicted against measured latencies of whole networks: random plans by every method, on devices measured first.

ResNet-20, ResNet-56, VGG-11 and LeNet-5 are the trained ones of RANKLINE_DATA; MobileNetV2 at 96x96 has random weights.
Times don't depend on weights, so the factors are random. The originals are predicted and measured in the same way. The
peer is the count of FLOPs, scaled so that its median error is least.

Run: python -m benchmarks.latency_prediction [--runtimes litert,onnx] [--plans 12] [--devices FOLDER] [--seed 0]
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy.stats import spearmanr

from benchmarks.networks import model_of
from benchmarks.record import kept_parts, now, record
from rankline.src.compress.deploy import runtimes
from rankline.src.compress.deploy.latency import latencies
from rankline.src.compress.deploy.measure import add_device
from rankline.src.compress.deploy.runtime import Calls
from rankline.src.compress.methods import get
from rankline.src.compress.model.rebuild import leaves
from rankline.src.compress.model.surgery import factorize
from rankline.src.dse.devices.device import Device, read_device, write_device
from rankline.src.dse.devices.network import whole_latency
from rankline.src.dse.keras_model.graph import trace
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.keras_model.rest import rest_of
from rankline.src.dse.lines import lines_of
from rankline.src.dse.metric import FLOPS
from rankline.src.dse.network_cost import network_cost
from rankline.src.dse.plan import Plan
from rankline.src.dse.precision import F32
from rankline.src.dse.scan.intervals import narrowed
from rankline.src.dse.scan.select import sample
from rankline.src.dse.space import spaces_of

NETWORKS = ("resnet20_cifar10", "resnet56_cifar10", "vgg11_cifar10", "mobilenetv2", "lenet_mnist")

MAIN = ("svd", "spatial_svd", "tucker", "cp", "tt", "")
"""The method of a plan, where it applies; empty: any method for each layer."""

KEPT = (0.2, 0.3, 0.45, 0.6)
"""Shares of a layer's FLOPs that its configuration may keep, at most."""

UNCHANGED = 0.15
"""Share of the layers that a plan leaves as they are."""


def network(name: str, seed: int) -> keras.Model:
    if name == "mobilenetv2":
        keras.utils.set_random_seed(seed)
        return keras.applications.MobileNetV2(input_shape=(96, 96, 3), weights=None, classes=10)
    with tempfile.TemporaryDirectory() as folder:
        return model_of(name, Path(folder))


def plans(model: keras.Model, count: int, seed: int) -> Iterator[Plan]:
    """Random configurations of most layers, by one method or by all."""
    rng = random.Random(seed)
    layers = [layer for layer in describe(model).layers if not layer.kept_because]
    known = {layer.name: {space.method: space for space in spaces_of(layer)} for layer in layers}
    for number in range(count):
        method, share, plan = MAIN[number % len(MAIN)], rng.choice(KEPT), {}
        for layer in layers:
            possible = known[layer.name]
            if rng.random() < UNCHANGED:
                continue
            space = possible.get(method) or possible[rng.choice(sorted(possible))]
            flops = space.original.flops
            found = narrowed(lines_of(space)).where(FLOPS, int((share - 0.15) * flops), int(share * flops))
            if found.count:
                plan[layer.name] = found.configuration(*sample(found, 1, rng.randrange(10**6))[0])
        yield plan


def made(model: keras.Model, plan: Plan, seed: int) -> keras.Model:
    """The model of a plan, with random factors of the right shapes (those of a kernel of zeros are found at once)."""
    rng, layers, known = np.random.default_rng(seed), dict(leaves(model)), {}
    for path, one in plan.items():
        factors = get(one.method).decompose(np.zeros(layers[path].kernel.shape), one.ranks, one.shape)
        known[path] = [0.1 * rng.standard_normal(np.shape(factor)).astype(np.float32) for factor in factors]
    return factorize(model, plan, known=known)


def rows_of(name: str, device: Device, count: int, seed: int) -> list[dict[str, Any]]:
    """The original and random plans of a network: predicted and measured microseconds."""
    model = network(name, seed)
    shape, rest = describe(model), list(rest_of(trace(model)))
    chosen: list[Plan] = [{}, *plans(model, count, seed)]
    models = {str(number): made(model, plan, seed) for number, plan in enumerate(chosen)}
    times = latencies(models, device)
    rows = []
    for (number, one), plan in zip(models.items(), chosen, strict=True):
        own = describe(one)
        predicted, left_out = whole_latency(device.model, shape.layers, rest, own.params, plan)
        assert not left_out, left_out
        methods = sorted({choice.method for choice in plan.values()})
        measured = times[number].minimum
        rows.append(
            {
                "network": name,
                "plan": int(number),
                "methods": methods,
                "flops": network_cost(own.params, own.layers).flops,
                "predicted_us": round(predicted / 1e6, 2),
                "measured_us": round(measured / 1e6, 2),
                "error": round(predicted / measured - 1, 4),
            }
        )
        print(device.runtime, rows[-1], flush=True)
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How well the plans are predicted, all together and within each network, and what FLOPs alone would say."""
    taken = [row for row in rows if row["plan"]]
    errors = np.abs([row["error"] for row in taken])
    flops = np.array([row["flops"] for row in taken]) / [row["measured_us"] for row in taken]
    by_flops = np.abs(flops / np.median(flops) - 1)
    return {
        "plans": len(taken),
        "median": round(float(np.median(errors)), 4),
        "p90": round(float(np.quantile(errors, 0.9)), 4),
        "spearman": round(_spearman(taken), 4),
        "spearman_by_network": {
            name: round(_spearman([row for row in taken if row["network"] == name]), 4) for name in NETWORKS
        },
        "median_by_network": {
            name: round(float(np.median([abs(row["error"]) for row in taken if row["network"] == name])), 4)
            for name in NETWORKS
        },
        "by_flops_median": round(float(np.median(by_flops)), 4),
        "by_flops_p90": round(float(np.quantile(by_flops, 0.9)), 4),
    }


def _spearman(rows: list[dict[str, Any]]) -> float:
    return float(spearmanr([row["predicted_us"] for row in rows], [row["measured_us"] for row in rows]).statistic)


def device_of(runtime: str, folder: Path | None, seed: int, precision: str = F32.name) -> Device:
    """The device measured now, or the one kept in the folder, where it is kept."""
    name = runtime if precision == F32.name else f"{runtime}-{precision}"
    path = None if folder is None else folder / f"{name}.json"
    if path is not None and path.exists():
        return read_device(path)
    device, _ = add_device(name, runtimes.get(runtime), Calls(precision=precision), force=True, seed=seed)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_device(device, path)
    return device


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtimes", type=lambda text: text.split(","), default=["litert", "onnx"])
    parser.add_argument("--networks", type=lambda text: text.split(","), default=list(NETWORKS))
    parser.add_argument("--plans", type=int, default=12)
    parser.add_argument("--devices", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    found = kept_parts("latency_prediction", tuple(runtimes.CLASSES), options.runtimes)
    for runtime in options.runtimes:
        device = device_of(runtime, options.devices, options.seed)
        rows = [row for name in options.networks for row in rows_of(name, device, options.plans, options.seed)]
        fit = {"median": device.fit.median, "p90": device.fit.p90, "count": device.fit.count}
        found[runtime] = {
            "date": now(),
            "device": device.title,
            "operations_not_seen": fit,
            **summary(rows),
            "rows": rows,
        }
        print(runtime, {key: value for key, value in found[runtime].items() if key != "rows"}, flush=True)
    packages = ("ai-edge-litert", "onnxruntime", "keras", "numpy", "tensorflow")
    print(record("latency_prediction", options.seed, packages, found))


if __name__ == "__main__":
    main()
