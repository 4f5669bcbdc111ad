"""The whole job on real networks: how much smaller each strategy makes them within an accuracy drop.

A validation part held out from the training images chooses, the test images are read once. Epochs and the size of
the training subset are recorded: two cores are slow. Needs RANKLINE_DATA.

Run: python -m benchmarks.compression [--networks lenet_mnist,..] [--strategies tucker+svd,hybrid,vbmf,pruning]
     python -m benchmarks.compression --networks lenet5_mnist --strategies tucker+svd --steps 0.02,0.05,0.1 \
         --solutions 1,3,10
     python -m benchmarks.compression --networks resnet20_cifar10 --strategies tucker+svd \
         --schedules one-shot,iterative
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import keras

from benchmarks.networks import data_of, model_of
from benchmarks.rows import keep
from rankline.api import compress
from rankline.src.compress.compression import Compression
from rankline.src.compress.data.sets import Data
from rankline.src.compress.model.duplicate import duplicate
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.training.fine_tuning import fine_tune
from rankline.src.compress.training.settings import FineTuning
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.network_cost import known_cost

STRATEGIES = (
    "tucker+svd", "cp+svd", "tt+svd", "spatial_svd+svd", "svd+svd", "tucker+qr", "tucker+t3f", "hybrid", "vbmf",
    "pruning",
)  # fmt: skip

KEY = ("network", "strategy", "objective", "schedule", "fit", "step", "max_solutions")
"""What tells one row of the results from another."""


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


def made(
    model: keras.Model, network: str, data: Data, strategy: str, settings: Settings, database: str
) -> dict[str, Any]:
    """One compression's figures. strategy: ``tucker+svd`` for one search, ``tucker/cp+svd`` for a hybrid of several
    methods, or a name that ``compress`` knows. ``construction`` is the seconds that its trials took to construct."""
    methods = {}
    if "+" in strategy:
        methods = {kind: names.split("/") for kind, names in zip(("conv", "dense"), strategy.split("+"), strict=True)}
        strategy = "hybrid" if "/" in strategy else "similarity"
    started = perf_counter()
    done = compress(model, data, database, name=network, settings=settings, methods=methods, strategy=strategy)
    return {
        "status": done.run.status,
        "trials": len(done.trials) - 1,
        "reductions": reductions(done),
        "validation drop": round((done.run.original.accuracy or 0) - (done.run.chosen.accuracy or 0), 4),
        "test accuracy before": round(done.delivered.original_accuracy or 0.0, 4),
        "test accuracy after": round(done.delivered.accuracy or 0.0, 4),
        "construction": round(sum(trial.construct_seconds or 0 for trial in done.trials), 2),
        "seconds": round(perf_counter() - started, 1),
    }


def epoch_seconds(model: keras.Model, data: Data, training: FineTuning) -> float:
    """Wall seconds of one epoch of fine-tuning the original; the first, which builds the graph, is not counted."""
    copy = keras.models.clone_model(model, clone_function=duplicate)
    copy.set_weights(model.get_weights())
    times: list[float] = []

    def note(epoch: int, logs: dict[str, float] | None) -> None:
        times.append(perf_counter())

    clock = keras.callbacks.LambdaCallback(on_epoch_begin=note, on_epoch_end=note)
    validation = data.x_validation, data.y_validation
    fine_tune(copy, (data.x_train, data.y_train), validation, replace(training, epochs=2), 0, [clock])
    return times[-1] - times[-2]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default="lenet_mnist,cnn_fashion_mnist")
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    parser.add_argument("--objectives", default="params,flops")
    parser.add_argument("--schedules", default="one-shot")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--subset", type=int, default=6000)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--fit", default="weights")
    parser.add_argument("--steps", default="0.05")
    parser.add_argument("--solutions", default="1")
    parser.add_argument("--max-trials", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where databases and trained networks stay (default: nowhere)")
    options = parser.parse_args(arguments)
    training = FineTuning(options.epochs, options.learning_rate, 64)
    settings = Settings(fine_tuning=training, max_trials=options.max_trials, fit=options.fit, seed=options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for network in options.networks.split(","):
            model, data = model_of(network, folder, options.seed), data_of(network, options.subset, options.seed)
            facts = {"epochs": options.epochs, "training samples": len(data.x_train), "seed": options.seed}
            facts["epoch seconds"] = round(epoch_seconds(model, data, training), 2)
            asked = (options.objectives, options.schedules, options.steps, options.solutions, options.strategies)
            for objective, schedule, step, solutions, strategy in product(*(one.split(",") for one in asked)):
                changes = {"objective": objective, "schedule": schedule}
                chosen = replace(settings, step=float(step), max_solutions=int(solutions), **changes)
                named = (network, strategy, objective, schedule, options.fit, float(step), int(solutions))
                row = dict(zip(KEY, named, strict=True))
                row |= made(model, network, data, strategy, chosen, str(folder / f"{network}.db")) | facts
                keep("compression", row, KEY, options.seed, ("keras", "tensorflow", "numpy"))


if __name__ == "__main__":
    main()
