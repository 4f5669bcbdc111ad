"""The bisection on real digits, and what it reports."""

from __future__ import annotations

from itertools import pairwise

import keras
import numpy as np
import pytest

from compress.baselines.pruning import prune
from compress.baselines.under_drop import (
    Limits,
    Outcome,
    best_of,
    best_under_drop,
    pruning_under_drop,
    vbmf_under_drop,
)
from compress.data import Data
from compress.search import cost_of
from compress.training import FineTuning, evaluate
from dse.errors import UserError

AMOUNTS = (0.1, 0.3, 0.5, 0.7, 0.9)
QUICK = Limits(max_drop=0.05, fine_tuning=FineTuning(epochs=3, learning_rate=3e-3))


@pytest.fixture(scope="module")
def pruned(trained: keras.Model, digits: Data) -> dict[str, Outcome]:
    return pruning_under_drop(trained, AMOUNTS, digits, QUICK, dense=True)


def test_the_best_is_the_smallest_that_keeps_the_accuracy(pruned: dict[str, Outcome], digits: Data) -> None:
    assert list(pruned) == ["l1", "l2", "geometric_median"]
    for outcome in pruned.values():
        good = [one for one in outcome.trials if one.score.accuracy >= outcome.original.accuracy - QUICK.max_drop]
        assert outcome.best == min(good, key=lambda one: one.cost.params)
        assert outcome.model is not None
        assert cost_of(outcome.model) == outcome.best.cost
        assert evaluate(outcome.model, digits.x_validation, digits.y_validation) == outcome.best.score


def test_a_few_trials_settle_it(pruned: dict[str, Outcome], trained: keras.Model) -> None:
    for outcome in pruned.values():
        assert 2 <= len(outcome.trials) <= 3
        assert outcome.trials[0].amount == 0.5
        ordered = sorted(outcome.trials, key=lambda one: one.amount)
        assert all(one.cost.params > other.cost.params for one, other in pairwise(ordered))
        assert all(one.cost.params < cost_of(trained).params for one in ordered)


def test_the_best_criterion_has_the_fewest_params(pruned: dict[str, Outcome]) -> None:
    name = best_of(pruned)
    sizes = {criterion: one.best.cost.params for criterion, one in pruned.items() if one.best}
    assert name is not None
    assert sizes[name] == min(sizes.values())
    assert best_of({}) is None


def test_vbmf_is_weakened_as_little_as_needed(trained: keras.Model, digits: Data) -> None:
    outcome = vbmf_under_drop(trained, (0.5, 0.8, 1.0), digits, QUICK)
    assert outcome.best is not None
    assert outcome.best.cost.params < cost_of(trained).params


def test_the_same_seed_gives_the_same_trials(trained: keras.Model, digits: Data) -> None:
    one, other = (
        best_under_drop(trained, lambda removed: prune(trained, 1 - removed).model, (0.5, 0.9), digits, QUICK)
        for _ in range(2)
    )
    assert [(t.amount, t.cost, t.score) for t in one.trials] == [(t.amount, t.cost, t.score) for t in other.trials]


def test_where_nothing_is_good_enough_there_is_no_best(trained: keras.Model, digits: Data) -> None:
    def ruined(amount: float) -> keras.Model:
        model = prune(trained, 1 - amount).model
        model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
        return model

    outcome = best_under_drop(trained, ruined, (0.1, 0.2), digits, Limits(fine_tuning=FineTuning(epochs=0)))
    assert [trial.amount for trial in outcome.trials] == [0.2, 0.1]
    assert outcome.best is None
    assert outcome.model is None
    assert best_of({"ruined": outcome}) is None


@pytest.mark.parametrize("amounts", [(), (0.5, 0.3), (0.5, 0.5)])
def test_amounts_that_do_not_rise_are_refused(trained: keras.Model, digits: Data, amounts: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="rising"):
        best_under_drop(trained, lambda amount: trained, amounts, digits)


def test_a_drop_beyond_one_is_refused() -> None:
    with pytest.raises(UserError, match="max_drop must be a fraction"):
        Limits(max_drop=1.5)
