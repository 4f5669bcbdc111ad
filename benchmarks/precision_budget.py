"""Ranks and precision chosen together: accuracy without training, measured speed and bytes, in INT8.

The trained networks of RANKLINE_DATA, 1,024 calibration images without labels, one thread, batch 1. Budgets of latency
on a device measured in INT8, and budgets of bytes, beside INT8 alone and spatial SVD at 30 % of the FLOPs in INT8. All
files of a network are timed in turn in one process, the float original among them; accuracies are those of the files,
run by their runtime on the whole test part.

Run: python -m benchmarks.precision_budget [--runtimes litert,onnx] [--networks ..] [--devices FOLDER] [--seed 0]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rankline
from benchmarks.networks import data_of, model_of
from benchmarks.on_devices import measure
from rankline.src.compress.deploy import runtimes
from rankline.src.compress.deploy.timing import timed
from rankline.src.db.records.measurements import Measurement
from rankline.src.dse.devices.device import Device

SHARES = {
    "resnet20_cifar10": {"latency": (0.7, 0.8, 0.82), "bytes": (0.1, 0.15)},
    "resnet56_cifar10": {"latency": (0.65, 0.75), "bytes": (0.1,)},
    "resnet8_cifar10_mlperftiny": {"latency": (0.75, 0.85), "bytes": (0.12, 0.15)},
    "vgg11_cifar10": {"latency": (0.25, 0.35), "bytes": (0.03, 0.05)},
    "lenet_mnist": {"latency": (0.6, 0.8), "bytes": (0.04, 0.06)},
    "cnn_fashion_mnist": {"latency": (0.6, 0.8), "bytes": (0.05, 0.1)},
}
"""Of the INT8 original's latency, and of the float original's bytes."""

SECONDS = 15.0


def rows_of(name: str, device: Device, folder: Path, seed: int) -> list[dict[str, Any]]:
    """A row for each file."""
    model, data = model_of(name, folder), data_of(name, seed=seed)
    runtime = runtimes.get(device.runtime)
    common: dict[str, Any] = {"name": name, "seed": seed, "samples": 1024}
    found: dict[str, tuple[Path, Measurement, dict[str, Any]]] = {}
    for precision in ("f32", "int8"):
        path = folder / f"{precision}{runtime.suffix}"
        measured = rankline.deploy(model, path, precision=precision, calibrate=data, data=data, db=None, seed=seed)
        found["float original" if precision == "f32" else "INT8 alone"] = path, measured, {}
    asked: dict[str, dict[str, Any]] = {
        "latency": {"sweep": {"latency": SHARES[name]["latency"]}, "device": device},
        "bytes": {"sweep": {"bytes": SHARES[name]["bytes"]}, "precision": "int8", "runtime": runtime.name},
        "spatial SVD, FLOPs": {
            "sweep": {"flops": (0.3,)}, "methods": ["spatial_svd"], "precision": "int8", "runtime": runtime.name
        },
    }  # fmt: skip
    for what, how in asked.items():
        out = folder / what.split()[0]
        done = rankline.budget(model, data, str(folder / "budget.db"), out=out, **common, **how)
        for point in done.points:
            assert point.file is not None
            assert point.measured is not None
            (share,) = point.keep.values()
            facts = {
                "keras accuracy": None if point.test is None else round(point.test.accuracy, 4),
                "flops_kept": round(point.allocation.cost.flops / done.total.flops, 3),
                "params_kept": round(point.allocation.cost.params / done.total.params, 3),
                "methods": sorted({choice.method for choice in point.plan.values()}),
            }
            found[f"{what} {share:g}"] = point.file.with_suffix(runtime.suffix), point.measured, facts
    sessions = {what: runtime.load(path, device.threads) for what, (path, _, _) in found.items()}
    times = timed({what: session.call for what, session in sessions.items()}, SECONDS)
    whole, size = times["float original"].minimum, found["float original"][1].bytes
    rows = []
    for what, (_, measured, facts) in found.items():
        rows.append(
            {
                "network": name,
                "what": what,
                "test accuracy": None if measured.score is None else round(measured.score, 4),
                "measured_us": round(times[what].minimum / 1e6, 1),
                "times faster": round(whole / times[what].minimum, 3),
                "bytes": measured.bytes,
                "times smaller": round(size / measured.bytes, 2),
                **facts,
            }
        )
        print(device.runtime, rows[-1], flush=True)
    return rows


PACKAGES = ("ai-edge-litert", "litert-quantizer", "onnxruntime", "keras", "numpy", "tensorflow")


def main(arguments: list[str] | None = None) -> None:
    measure("precision_budget", __doc__, list(SHARES), rows_of, PACKAGES, "int8", arguments=arguments)


if __name__ == "__main__":
    main()
