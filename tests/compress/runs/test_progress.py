"""Who waits for long work is told how far each part of it has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import pytest

from rankline.src.compress.baselines.strategies import vbmf
from rankline.src.compress.data.sets import Data
from rankline.src.compress.fit.refit import Start, refit
from rankline.src.compress.model.surgery import factorize, factorize_and_measure
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.run import Run
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.search.data_fit import DataFit, samples_of
from rankline.src.compress.search.hybrid import hybrid
from rankline.src.compress.search.search import search
from rankline.src.compress.training.settings import FineTuning
from rankline.src.db.database import open_database
from rankline.src.dse.configuration import Configuration

PLAN = {"branch": Configuration("tucker", (4, 4)), "hidden": Configuration("svd", (8,))}

QUICK = Settings(
    fine_tuning=FineTuning(epochs=2, batch_size=128), include=("branch", "hidden"), drop_smallest=0.0, samples=50,
    max_drop=1.0, max_trials=1,
)  # fmt: skip

FITTED = {"stem", "conv", "branch", "hidden", "classes"}


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.all: list[tuple[str, int, int]] = []

    def __call__(self, label: str, done: int, total: int) -> None:
        self.all.append((label, done, total))

    def of(self, label: str) -> list[tuple[int, int]]:
        return [(done, total) for one, done, total in self.all if one == label]

    @property
    def labels(self) -> list[str]:
        """In the order in which they are first told of."""
        return list(dict.fromkeys(label for label, _, _ in self.all))


def rising(total: int) -> list[tuple[int, int]]:
    return [(done, total) for done in range(total + 1)]


@pytest.fixture
def told() -> Told:
    return Told()


def test_each_layer_that_is_decomposed_is_told(trained: keras.Model, told: Told) -> None:
    factorize(trained, PLAN, progress=told)
    assert told.all == [("layers decomposed", *one) for one in rising(2)]


def test_layers_that_are_taken_over_are_not_told(trained: keras.Model, told: Told) -> None:
    first = {"branch": PLAN["branch"]}
    factorize_and_measure(trained, PLAN, (factorize(trained, first), first), told)
    assert told.of("layers decomposed") == rising(1)


def test_each_layer_that_is_fitted_is_told(trained: keras.Model, few: Data, told: Told) -> None:
    refit(trained, PLAN, [few.x_train[:50]], start=Start(factorize(trained, PLAN)), progress=told)
    assert told.all == [("layers fitted", *one) for one in rising(len(FITTED))]


def test_a_fit_of_trials_tells_of_its_samples_once(trained: keras.Model, few: Data, told: Told) -> None:
    samples = samples_of(few, QUICK)
    fit = DataFit(trained, samples, QUICK.seed, told)
    for _ in range(2):
        fit(factorize(trained, PLAN), PLAN)
    assert told.of("samples sent back")[-1] == (len(samples[0]), len(samples[0]))
    assert told.of("layers fitted") == 2 * rising(len(FITTED))
    assert told.labels == ["samples sent back", "layers fitted"]


@pytest.mark.parametrize("strategy", [search, vbmf, hybrid])
def test_a_run_tells_of_each_part_of_a_trial(
    strategy: Callable[..., Run], trained: keras.Model, few: Data, told: Told
) -> None:
    database = open_database("sqlite://")
    database.explore(trained, name="tiny", methods=["tucker", "svd"])
    fit = "weights" if strategy is vbmf else "data"
    more = {"conv_methods": ["tucker"], "dense_methods": ["svd"]} if strategy is hybrid else {}
    strategy(Job(trained, few, database, "tiny", progress=told), replace(QUICK, fit=fit), **more)
    database.close()
    trials = 2 if strategy is hybrid else 1
    layers = told.of("layers decomposed")
    assert layers[0][0] == 0
    assert layers == trials * rising(layers[0][1])
    assert told.of("layers fitted") == (trials * rising(len(FITTED)) if fit == "data" else [])
    assert told.of("epochs of fine-tuning") == trials * rising(2)
    assert told.labels[:2] == ["judging", "layers decomposed"]
    assert told.all[-1] == ("judging", 0, 0)
