"""Budgets of latency: accuracy without training and measured speed, against spatial SVD under a budget of FLOPs.

The trained networks of RANKLINE_DATA, 1,024 calibration images without labels, one thread, batch 1. All models of a
network are timed in turn in one process, the original among them; accuracies are those of the whole test part.

Run: python -m benchmarks.latency_budget [--runtimes litert,onnx] [--networks ..] [--devices FOLDER] [--seed 0]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rankline
from benchmarks.networks import data_of, model_of
from benchmarks.on_devices import measure
from rankline.src.compress.deploy.latency import latencies
from rankline.src.dse.devices.device import Device

SHARES = {
    "resnet20_cifar10": (0.4, 0.55, 0.6, 0.66),
    "resnet56_cifar10": (0.45, 0.6, 0.7),
    "vgg11_cifar10": (0.18, 0.24),
    "lenet_mnist": (0.4, 0.6),
}
"""Of the original's latency, by network."""

PEER = (0.3, 0.5)
"""Of the FLOPs, for spatial SVD."""


def rows_of(name: str, device: Device, folder: Path, seed: int) -> list[dict[str, Any]]:
    """A row for the original, for each budget of latency, and for the peer at each share of the FLOPs."""
    model, data = model_of(name, folder), data_of(name, seed=seed)
    common: dict[str, Any] = {"device": device, "name": name, "seed": seed, "samples": 1024}
    ours = rankline.budget(model, data, str(folder / "ours.db"), sweep={"latency": SHARES[name]}, **common)
    theirs = rankline.budget(
        model, data, str(folder / "theirs.db"), sweep={"flops": PEER}, methods=["spatial_svd"], **common
    )
    points = {f"latency {one.keep['latency']:g}": one for one in ours.points}
    points |= {f"spatial SVD, FLOPs {one.keep['flops']:g}": one for one in theirs.points}
    times = latencies({"original": model, **{what: one.model for what, one in points.items()}}, device)
    whole = times["original"].minimum
    rows = [_row(name, "original", ours.test, whole, whole)]
    for what, one in points.items():
        assert one.latency is not None
        rows.append(
            {
                **_row(name, what, one.test, times[what].minimum, whole),
                "predicted_us": round(one.latency.plan / 1e6, 1),
                "rounds": len(one.latency.rounds),
                "flops_kept": round(one.allocation.cost.flops / ours.total.flops, 3),
                "params_kept": round(one.allocation.cost.params / ours.total.params, 3),
                "methods": sorted({choice.method for choice in one.plan.values()}),
            }
        )
    for row in rows:
        print(device.runtime, row, flush=True)
    return rows


def _row(name: str, what: str, test: Any, time: int, whole: int) -> dict[str, Any]:
    return {
        "network": name,
        "what": what,
        "test accuracy": round(test.accuracy, 4),
        "measured_us": round(time / 1e6, 1),
        "times faster": round(whole / time, 3),
    }


PACKAGES = ("ai-edge-litert", "onnxruntime", "keras", "numpy", "tensorflow")


def main(arguments: list[str] | None = None) -> None:
    measure("latency_budget", __doc__, list(SHARES), rows_of, PACKAGES, arguments=arguments)


if __name__ == "__main__":
    main()
