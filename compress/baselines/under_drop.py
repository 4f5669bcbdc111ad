"""The smallest model of a one-parameter family that stays within an accuracy drop, after one-shot fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import keras

from compress.baselines.importance import CRITERIA
from compress.baselines.pruning import prune
from compress.baselines.vbmf import vbmf_plan
from compress.data import Data
from compress.search import cost_of
from compress.surgery import factorize
from compress.training import FineTuning, Score, evaluate, fine_tune
from dse.errors import UserError
from dse.formula import Cost


@dataclass(frozen=True)
class Limits:
    """What every trial is made under: ``max_drop`` is the most that accuracy may fall, as a fraction."""

    max_drop: float = 0.015
    fine_tuning: FineTuning = field(default_factory=FineTuning)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.max_drop <= 1:
            raise UserError(f"max_drop must be a fraction from 0 to 1; got {self.max_drop}")


@dataclass(frozen=True)
class Trial:
    """One model after fine-tuning, with the amount that made it, and the seconds that it took."""

    amount: float
    cost: Cost
    score: Score
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """The trials in the order in which they were made, and the smallest that is good enough, if any is."""

    original: Score
    trials: tuple[Trial, ...]
    best: Trial | None
    model: keras.Model | None


def best_under_drop(
    model: keras.Model,
    make: Callable[[float], keras.Model],
    amounts: Sequence[float],
    data: Data,
    limits: Limits | None = None,
) -> Outcome:
    """Bisects for the strongest amount of compression that keeps the accuracy.

    model: the original; make: a new model for an amount; amounts: rising, each to give a smaller model than the one
    before. About log2 of their number is tried, as if accuracy fell with each. Accuracy and loss are those of the
    validation part after fine-tuning. The same seed gives the same trials. The best is that of the fewest params,
    then FLOPs. Raises UserError where no amount is given or they don't rise.
    """
    limits = limits or Limits()
    if not amounts or list(amounts) != sorted(set(amounts)):
        raise UserError(f"amounts must be one or more rising numbers; got {list(amounts)}")
    held_out = data.x_validation, data.y_validation
    original = evaluate(model, *held_out)
    wanted = original.accuracy - limits.max_drop - 1e-9  # a drop of just max_drop is allowed
    trials: list[Trial] = []
    best: tuple[Trial, keras.Model] | None = None
    low, high = 0, len(amounts)
    while low < high:
        middle = (low + high) // 2
        started = perf_counter()
        smaller = make(amounts[middle])
        fine_tune(smaller, (data.x_train, data.y_train), held_out, limits.fine_tuning, limits.seed)
        score = evaluate(smaller, *held_out)
        trials.append(Trial(amounts[middle], cost_of(smaller), score, perf_counter() - started))
        if score.accuracy < wanted:
            high = middle
            continue
        low = middle + 1
        if best is None or _size(trials[-1]) < _size(best[0]):
            best = trials[-1], smaller
    trial, chosen = best or (None, None)
    return Outcome(original, tuple(trials), trial, chosen)


def vbmf_under_drop(model: keras.Model, amounts: Sequence[float], data: Data, limits: Limits | None = None) -> Outcome:
    """VBMF's ranks, weakened as little as the limits allow; amounts: values of ``weaken`` (see ``vbmf_plan``)."""
    return best_under_drop(
        model, lambda weaken: factorize(model, vbmf_plan(model, weaken=weaken)[0]), amounts, data, limits
    )


def pruning_under_drop(
    model: keras.Model, amounts: Sequence[float], data: Data, limits: Limits | None = None, dense: bool = False
) -> dict[str, Outcome]:
    """Filter pruning by each criterion; amounts: the fractions of filters removed. ``best_of`` chooses among them."""

    def under(criterion: str) -> Outcome:
        return best_under_drop(
            model, lambda removed: prune(model, 1 - removed, criterion, dense).model, amounts, data, limits
        )

    return {criterion: under(criterion) for criterion in CRITERIA}


def best_of(outcomes: Mapping[str, Outcome]) -> str | None:
    """The name of the outcome with the smallest model, the first of equals; None where none has any."""
    sizes = {name: _size(outcome.best) for name, outcome in outcomes.items() if outcome.best}
    return min(sizes, key=lambda name: sizes[name]) if sizes else None


def _size(trial: Trial) -> tuple[int, int]:
    return trial.cost.params, trial.cost.flops
