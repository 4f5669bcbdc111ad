"""The whole job on real networks: how much smaller each strategy makes them within an accuracy drop.

A validation part held out from the training images chooses, the test images are read once. Epochs and the size of
the training subset are recorded: two cores are slow. Needs RANKLINE_DATA.

Run: python -m benchmarks.compression [--networks lenet_mnist,..] [--strategies tucker+svd,hybrid,vbmf,pruning]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import keras
import numpy as np

from benchmarks.record import RESULTS, record
from compress.data import Data, Scaling, data_from
from compress.settings import Settings
from compress.training import FineTuning
from dse.reader import describe
from dse.totals import known_cost
from rankline.compression import Compression, compress

DATA = Path(os.environ.get("RANKLINE_DATA", "../shared/data"))

CIFAR = Scaling(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

NETWORKS: dict[str, tuple[str, Scaling]] = {
    "lenet_mnist": ("mnist", Scaling(1 / 255, (0.1307,), (0.3081,))),
    "cnn_fashion_mnist": ("fashion_mnist", Scaling(1 / 255)),
    "resnet8_cifar10_mlperftiny": ("cifar10", Scaling()),
    "resnet20_cifar10": ("cifar10", CIFAR),
    "voxnet_modelnet10": ("modelnet10_30", Scaling()),
}
"""Each pretrained model with its data and how its inputs are scaled."""

STRATEGIES = ("tucker+svd", "cp+svd", "tt+svd", "tucker+qr", "tucker+t3f", "hybrid", "vbmf", "pruning")


def data_of(name: str, scaling: Scaling, subset: int, seed: int) -> Data:
    """The data set with its first ``subset`` training samples, 15 % of them held out to choose."""
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as file:
        arrays = [file[key] for key in ("x_train", "y_train", "x_test", "y_test")]
    x_train, y_train, x_test, y_test = (array[:subset] if j < 2 else array for j, array in enumerate(arrays))
    if x_train.ndim in (3, 4) and x_train.shape[-1] not in (1, 3):
        x_train, x_test = x_train[..., np.newaxis], x_test[..., np.newaxis]
    return data_from((x_train, y_train, x_test, y_test), name, scaling, split_seed=seed)


def reductions(done: Compression) -> dict[str, float]:
    """The shares of the params that are gone, of the whole model (all weights), its conv and its dense part, and of
    the FLOPs."""
    before, after = done.run.original.cost, done.run.chosen.cost
    found = {"params": 1 - after.params / before.params, "flops": 1 - after.flops / before.flops}
    chosen = {one.layer: one.cost.params for one in done.run.chosen.layers}
    for kind in ("conv", "dense"):
        was = is_now = 0
        for layer in describe(done.original).layers:
            if layer.kind == kind and not layer.kept_because:
                params = known_cost(layer)[0] or 0
                was, is_now = was + params, is_now + chosen.get(layer.name, params)
        if was and chosen:
            found[f"{kind} params"] = 1 - is_now / was
    return {name: round(value, 4) for name, value in found.items()}


def made(network: str, data: Data, strategy: str, settings: Settings, database: str) -> dict[str, Any]:
    """One compression's figures."""
    model = keras.models.load_model(DATA / "models" / f"{network}.keras")
    methods = {}
    if "+" in strategy:
        methods = dict(zip(("conv", "dense"), strategy.split("+"), strict=True))
    started = perf_counter()
    done = compress(
        model, data, database, name=network, settings=settings, methods=methods,
        strategy="similarity" if methods else strategy,
    )  # fmt: skip
    return {
        "network": network,
        "strategy": strategy,
        "objective": settings.objective,
        "status": done.run.status,
        "trials": len(done.trials) - 1,
        "reductions": reductions(done),
        "validation drop": round((done.run.original.accuracy or 0) - (done.run.chosen.accuracy or 0), 4),
        "test accuracy before": round(done.delivered.original_test.accuracy, 4),
        "test accuracy after": round(done.delivered.test.accuracy, 4),
        "seconds": round(perf_counter() - started, 1),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default="lenet_mnist,cnn_fashion_mnist")
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--objectives", default="params,flops")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--subset", type=int, default=6000)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--step", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    settings = Settings(
        fine_tuning=FineTuning(options.epochs, options.learning_rate, 64), step=options.step, seed=options.seed
    )
    old = RESULTS / "compression.json"
    rows = json.loads(old.read_text(encoding="utf-8"))["rows"] if old.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        for network in options.networks.split(","):
            data = data_of(*NETWORKS[network], options.subset, options.seed)
            for objective in options.objectives.split(","):
                for strategy in options.strategies.split(","):
                    database = str(Path(folder) / f"{network}.db")
                    row = made(network, data, strategy, replace(settings, objective=objective), database)
                    row |= {"epochs": options.epochs, "training samples": len(data.x_train), "seed": options.seed}
                    print(row, flush=True)
                    same = [(one["network"], one["strategy"], one["objective"]) for one in rows]
                    key = (network, strategy, objective)
                    rows = [one for one, other in zip(rows, same, strict=True) if other != key] + [row]
                    record("compression", options.seed, ("keras", "tensorflow", "numpy"), {"rows": rows})


if __name__ == "__main__":
    main()
