"""Networks under a budget without training: accuracy, what each part of the method gives, and what it takes.

1,024 calibration images from the training set, without labels, drawn by the seed; the test set is read once for each
row. Costs are those of the whole model's convolutions and dense layers. Needs RANKLINE_DATA.

Run: python -m benchmarks.budget [--studies budgets,reference,parts,networks,plans,latency] [--seeds 0,1,2]
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import keras
import numpy as np
from scipy.stats import spearmanr

from benchmarks.networks import data_of, model_of
from benchmarks.rows import keep
from rankline.src.compress.budget.calibrated_model import CalibratedModel
from rankline.src.compress.fit.refit import FitSettings
from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.training.fine_tuning import evaluate
from rankline.src.dse.metric import METRICS

SAMPLES = 1024
EXACT = ("svd", "spatial_svd", "tucker")
BARE = FitSettings(residual=False, metric=False, relu_steps=0)
RESNETS = ("resnet20_cifar10", "resnet56_cifar10")
OTHERS = ("resnet8_cifar10_mlperftiny", "lenet_mnist", "cnn_fashion_mnist")
SHARES = (0.6, 0.5, 0.4, 0.3)
PLAN_IMAGES = 2000
"""Test images that random plans are judged on."""

KEY = ("study", "network", "case", "metric", "keep", "seed")


@dataclass(frozen=True)
class Case:
    """One way to choose and to fit."""

    name: str
    methods: tuple[str, ...] | None = None
    value: str = "damage"
    fit: str = "data"
    settings: FitSettings = field(default_factory=FitSettings)


DEFAULT = Case("defaults: all methods")
SVD_ALONE = Case("k x k and 1x1 alone", ("svd",))
REFERENCE = Case("whitened SVD, energy knapsack", ("svd",), "energy", "whitened")

PARTS = (
    Case("plain SVD, shares of the weights", ("svd",), "uniform", "weights"),
    REFERENCE,
    Case("+ BatchNorm re-estimated", ("svd",), "energy", "whitened", FitSettings(norms=True)),
    Case("sequential refit instead", ("svd",), "energy", "data", BARE),
    Case("+ residual targets", ("svd",), "energy", "data", FitSettings(metric=False, relu_steps=0)),
    Case("+ output metric", ("svd",), "energy", "data", FitSettings(relu_steps=0)),
    Case("+ predicted damage", ("svd",), "damage", "data", FitSettings(relu_steps=0)),
    Case("+ spatial SVD and Tucker-2", EXACT, "damage", "data", FitSettings(relu_steps=0)),
    Case("+ ReLU-aware targets", EXACT),
    DEFAULT,
)


class Network:
    """A trained network with its test set; budgets of the same samples and methods share their work."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.model = model_of(name, folder)
        self.data = data_of(name)
        self.budgets: dict[tuple[Any, ...], tuple[CalibratedModel, float]] = {}

    def budget(self, case: Case, metric: str, seed: int) -> tuple[CalibratedModel, float]:
        """The budget of a case, and the seconds that its options took."""
        key = (case.methods, case.value, metric, seed)
        if key not in self.budgets:
            started = perf_counter()
            budget = CalibratedModel(
                self.model, [self.images(SAMPLES, seed)], (metric,), methods=case.methods, value=case.value, seed=seed
            )
            budget.options  # noqa: B018
            self.budgets = {key: (budget, perf_counter() - started)}
        return self.budgets[key]

    def images(self, count: int, seed: int) -> np.ndarray[Any, Any]:
        """Training images drawn by a seed."""
        train = self.data.x_train
        return train[np.random.default_rng(seed).choice(len(train), min(count, len(train)), replace=False)]

    def accuracy(self, model: keras.Model, count: int | None = None) -> float:
        """On the test set, or its first images."""
        return round(evaluate(model, self.data.x_test[:count], self.data.y_test[:count]).accuracy, 4)

    def row(self, study: str, case: Case, metric: str, share: float, seed: int) -> dict[str, Any]:
        """The figures of one case at one budget."""
        budget, priced = self.budget(case, metric, seed)
        started = perf_counter()
        allocation = budget.allocate({metric: share})
        allocated = perf_counter()
        made = budget.fit(allocation.plan, case.fit, case.settings)
        fitted = perf_counter()
        assert cost_of(made) == allocation.cost
        used = [one.configuration.method if one.configuration else "as it is" for one in allocation.options.values()]
        return {
            **dict(zip(KEY, (study, self.name, case.name, metric, share, seed), strict=True)),
            "kept": round(METRICS[metric].of(allocation.cost) / METRICS[metric].of(budget.total), 5),
            "test accuracy": self.accuracy(made),
            "predicted damage": allocation.damage,
            "gap": allocation.gap,
            "layers": {name: used.count(name) for name in sorted(set(used))},
            "seconds": {
                "options": round(priced, 1),
                "allocation": round(allocated - started, 3),
                "fit": round(fitted - allocated, 1),
            },
        }


def budgets(network: Callable[[str], Network], seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """ResNet-20 at four budgets, with all methods, with those of exact tables, and with one structure alone."""
    for seed, case, share in itertools.product(seeds, (DEFAULT, SVD_ALONE), SHARES):
        yield network(RESNETS[0]).row("budgets", case, "flops", share, seed)


def reference(network: Callable[[str], Network], seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The published way, against figures that are known for the same weights and images."""
    for share in (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3):
        for metric in ("flops", "params"):
            yield network(RESNETS[0]).row("reference", REFERENCE, metric, share, seeds[0])


def parts(network: Callable[[str], Network], seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Each part of the method added to those before it."""
    for metric, shares in (("flops", (0.5, 0.3)), ("params", (0.5,))):
        for case, share in itertools.product(PARTS, shares):
            yield network(RESNETS[0]).row("parts", case, metric, share, seeds[0])


def networks(network: Callable[[str], Network], seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Other networks, small and deep, with the published way beside ours."""
    for name, case, share in itertools.product(OTHERS, (REFERENCE, DEFAULT), (0.5, 0.3)):
        yield network(name).row("networks", case, "flops", share, seeds[0])
    exact = Case("methods of exact tables", EXACT)
    for case, share in itertools.product((REFERENCE, exact, DEFAULT), (0.7, 0.5)):
        yield network(RESNETS[1]).row("networks", case, "flops", share, seeds[0])


def plans(network: Callable[[str], Network], seeds: Sequence[int], count: int = 48) -> Iterator[dict[str, Any]]:
    """Whether the predicted damage orders random plans as their accuracy does, for each value function.

    The plans leave each layer as it is or truncate it by SVD at random; they are not fitted, so that what is compared
    is the choice alone.
    """
    resnet = network(RESNETS[0])
    rng = np.random.default_rng(seeds[0])
    cases = [Case(value, ("svd",), value, "whitened") for value in ("damage", "energy", "uniform")]
    options = {case.name: resnet.budget(case, "flops", seeds[0])[0].options for case in cases}
    budget, _ = resnet.budget(cases[-1], "flops", seeds[0])
    damages: dict[str, list[float]] = {case.name: [] for case in cases}
    accuracies = []
    for _ in range(count):
        level = rng.uniform(0.3, 1.0)
        plan, sums = {}, dict.fromkeys(damages, 0.0)
        for path, some in options["damage"].items():
            share = rng.uniform(level - 0.3, level + 0.3)
            below = [one for one in some if one.cost.flops <= share * some[0].cost.flops] or [some[0]]
            chosen = max(below, key=lambda one: one.cost.flops).configuration
            if chosen is not None:
                plan[path] = chosen
            for value in damages:
                sums[value] += next((one.damage for one in options[value][path] if one.configuration == chosen), 0.0)
        accuracies.append(resnet.accuracy(budget.fit(plan, "whitened"), PLAN_IMAGES))
        for value in damages:
            damages[value].append(sums[value])
    for value, found in damages.items():
        yield {
            **dict(zip(KEY, ("plans", resnet.name, value, "flops", None, seeds[0]), strict=True)),
            "plans": count,
            "spearman": round(float(spearmanr(found, accuracies).statistic), 4),
            "test accuracies": [min(accuracies), max(accuracies)],
        }


def latency(network: Callable[[str], Network], seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Milliseconds of a call of the original and of the fitted model, in turn."""
    resnet = network(RESNETS[0])
    for case, share in itertools.product((SVD_ALONE, Case("spatial SVD alone", ("spatial_svd",)), DEFAULT), (0.5, 0.3)):
        budget, _ = resnet.budget(case, "flops", seeds[0])
        allocation = budget.allocate({"flops": share})
        models = resnet.model, budget.fit(allocation.plan, case.fit, case.settings)
        for batch in (1, 32):
            x = keras.ops.convert_to_tensor(resnet.images(batch, seeds[0]))
            times = _in_turn([_compiled(model, x) for model in models])
            yield {
                **dict(
                    zip(
                        KEY,
                        ("latency", resnet.name, f"{case.name}, batch {batch}", "flops", share, seeds[0]),
                        strict=True,
                    )
                ),
                "kept": round(allocation.cost.flops / budget.total.flops, 4),
                "milliseconds": [round(1000 * one, 3) for one in times],
                "kept of the time": round(times[1] / times[0], 3),
            }


def _compiled(model: keras.Model, x: Any) -> Callable[[], Any]:
    import tensorflow as tf

    call = tf.function(lambda batch: model(batch, training=False), jit_compile=False)
    call(x)
    return lambda: call(x)


def _in_turn(calls: Sequence[Callable[[], Any]], rounds: int = 30) -> list[float]:
    """Median seconds of each, measured in turn."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, some in zip(calls, times, strict=True):
            started = perf_counter()
            call()
            some.append(perf_counter() - started)
    return [median(some) for some in times]


STUDIES = {study.__name__: study for study in (budgets, reference, parts, networks, plans, latency)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", default=",".join(STUDIES))
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args(arguments)
    seeds = [int(seed) for seed in options.seeds.split(",")]
    with TemporaryDirectory() as folder:
        known: dict[str, Network] = {}

        def network(name: str) -> Network:
            if name not in known:
                known.clear()
                known[name] = Network(name, Path(folder))
            return known[name]

        for study in options.studies.split(","):
            for row in STUDIES[study](network, seeds):
                keep("budget", row, KEY, row["seed"], ("keras", "tensorflow", "numpy", "scipy"))


if __name__ == "__main__":
    main()
