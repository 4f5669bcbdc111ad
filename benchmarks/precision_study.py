"""Factorization and rounding, each alone and together, on the trained networks of RANKLINE_DATA.

Every method alone at several shares, at every precision; baselines (INT8 alone, a plan by FLOPs alone, filter pruning
with an epoch of fine-tuning), and CP before and after each remedy. 1,024 calibration images without labels; scores are
those of the whole test part, of files through the runtime. What is not measured anew stays as it was, with its date.

Run: python -m benchmarks.precision_study [--networks ..] [--runtimes litert,onnx] [--keep 0.3,0.5,0.7] [--methods ..]
[--precisions ..] [--samples 1024] [--test-samples ..] [--seed 0]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.networks import data_of, model_of
from benchmarks.record import kept_parts, now, record
from rankline.src.compress.budget.settings import RUNTIMES
from rankline.src.compress.precision_study.rows import ORIGINAL
from rankline.src.compress.precision_study.settings import PrecisionSettings
from rankline.src.compress.precision_study.study import study_precisions
from rankline.src.dse.precision import F32

NETWORKS = (
    "lenet_mnist",
    "cnn_fashion_mnist",
    "resnet8_cifar10_mlperftiny",
    "vgg11_cifar10",
    "resnet20_cifar10",
    "resnet56_cifar10",
)
"""The quickest first."""

PACKAGES = ("ai-edge-litert", "litert-quantizer", "onnxruntime", "keras", "numpy", "tensorflow")

DEFAULTS = PrecisionSettings()


def network(name: str, settings: PrecisionSettings) -> dict[str, Any]:
    """What the study finds for a network."""
    with tempfile.TemporaryDirectory() as folder:
        model, data = model_of(name, Path(folder)), data_of(name, seed=settings.seed)
        found = study_precisions(model, data, settings, progress=_told)
    print(name, settings.runtime, found.independence, flush=True)
    return {"date": now(), **found.as_dict()}


def summary(networks: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """How far both are from the sum over the pairs of all networks, and by method."""
    pairs = [
        one
        for found in networks
        for one in found["pairs"]
        if one["method"] != ORIGINAL and one["precision"] != F32.name
    ]
    methods = dict.fromkeys(one["method"] for one in pairs)
    by_method = {name: _apart([one for one in pairs if one["method"] == name]) for name in methods}
    return {**_apart(pairs), "by_method": by_method}


def _apart(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    apart = [abs(one["deviation"]) for one in pairs]
    return {
        "pairs": len(pairs),
        "mean_deviation": round(mean(apart), 4) if apart else None,
        "largest_deviation": round(max(apart), 4) if apart else None,
    }


def _told(label: str, done: int, total: int) -> None:
    if label.count(","):  # a plan, and no step of its making
        print(f"{done} of {total}: {label}", flush=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=_words, default=list(NETWORKS))
    parser.add_argument("--runtimes", type=_words, default=["litert"])
    parser.add_argument("--keep", type=lambda text: [float(one) for one in text.split(",")], default=DEFAULTS.keep)
    parser.add_argument("--methods", type=_words)
    parser.add_argument("--precisions", type=_words, default=DEFAULTS.precisions)
    parser.add_argument("--samples", type=int, default=DEFAULTS.samples)
    parser.add_argument("--test-samples", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    found = kept_parts("precision_study", RUNTIMES, [])
    for runtime in options.runtimes:
        settings = PrecisionSettings(
            options.keep, options.methods, options.precisions, runtime, options.samples, options.test_samples,
            seed=options.seed,
        )  # fmt: skip
        for name in options.networks:
            known = {**found.get(runtime, {}).get("networks", {}), name: network(name, settings)}
            known = {one: known[one] for one in NETWORKS if one in known}
            found[runtime] = {"independence": summary(known.values()), "networks": known}
            path = record("precision_study", options.seed, PACKAGES, found)
        print(path, found[runtime]["independence"])


def _words(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    main()
