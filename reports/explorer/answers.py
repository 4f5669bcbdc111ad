"""What the page asks of a layer's spaces under windows, and the answer: counts, picks and points for the cloud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor
from typing import TYPE_CHECKING, Any

import pandas as pd

from db.database import Database
from db.intervals import SETS
from db.solution import Solution
from db.solutions import NoSolutionError, Solutions
from db.windows import METRICS, metric_of
from dse.errors import UserError, one_of
from dse.formula import Cost
from reports.figures.solution_cloud import AGAINST, VIEW, solution_cloud

if TYPE_CHECKING:
    import plotly.graph_objects as go

LEVELS, SAMPLE, SEED = 60, 150, 0
"""Levels of an envelope; the most points of a method in the cloud, and what draws them."""

WHOLE = 100
"""A window's end at so many percent is open: costs above the original's are in it, too."""

Percents = tuple[float, float]


@dataclass(frozen=True)
class Question:
    """A layer by some methods, narrowed to a set, to windows and to an error.

    ``kept``: by metric, from how much to how much of the original's cost may be left, in percent; ``error``: the
    largest relative error in percent; 100 is no limit. ``against``: what the cloud draws the FLOPs against.
    """

    network: str
    layer: str
    methods: tuple[str, ...]
    within: str = "useful"
    kept: Mapping[str, Percents] | None = None
    error: float = WHOLE
    against: str = "params"

    def __post_init__(self) -> None:
        if self.within not in SETS:
            raise one_of("set", str(self.within), list(SETS))
        if self.against not in AGAINST:
            raise one_of("axis", str(self.against), list(AGAINST))
        for name, pair in (self.kept or {}).items():
            if name not in METRICS:
                raise one_of("metric", name, list(METRICS))
            if not (_are_percents(pair) and len(pair) == 2 and pair[0] <= pair[1]):
                raise UserError(f"a window of {name} is two percents from 0 to {WHOLE}, low before high; got {pair!r}")
        if not _are_percents([self.error]):
            raise UserError(f"an error is a percent from 0 to {WHOLE}; got {self.error!r}")


@dataclass(frozen=True)
class MethodAnswer:
    """One method: how many configurations the set has, how many meet the windows, and the picks among these."""

    method: str
    whole: int
    count: int
    picks: Mapping[str, Solution]
    errors_known: bool


def answers(database: Database, question: Question) -> list[MethodAnswer]:
    """The counts and picks of each method. Raises UserError for what the database doesn't have."""
    return [_answer(one, question) for one in _solutions(database, question)]


def cloud(database: Database, question: Question, found: Sequence[MethodAnswer], chosen: Solution | None) -> go.Figure:
    """The figure of a question's answers, with one configuration marked."""
    spaces = _solutions(database, question)
    metric = "params" if question.against == "params" else "memory"
    envelopes = [_envelope(replace(one, errors=None), metric) for one in spaces]
    samples = [_frame(_narrowed(one, question).random(SAMPLE, SEED)) for one in spaces if _is_known(one, question)]
    picks = {pick for answer in found for pick in answer.picks.values()} - {chosen}
    original = spaces[0].original if spaces else _original(database, question)
    return solution_cloud(
        _joined(envelopes),
        _joined(samples),
        original,
        _frame([chosen] if chosen else []),
        title="",
        picks=_frame(sorted(picks, key=lambda one: (one.method, one.ranks))),
        against=question.against,
    )


def _solutions(database: Database, question: Question) -> list[Solutions]:
    found = [database.solutions(question.layer, method, question.network) for method in question.methods]
    return [one.within(question.within).in_memory() for one in found]


def _answer(solutions: Solutions, question: Question) -> MethodAnswer:
    known = solutions.errors is not None
    whole = {"all": solutions.total, "better": solutions.better, "useful": solutions.useful}[question.within]()
    if not _is_known(solutions, question):
        return MethodAnswer(solutions.method, whole, 0, {}, known)
    narrowed = _narrowed(solutions, question)
    summary = narrowed.summary()
    picks = {"fewest FLOPs": summary.min_flops, "most FLOPs": summary.max_flops}
    if known:
        with suppress(NoSolutionError):
            picks["least error"] = narrowed.min_error()
    made = {name: pick for name, pick in picks.items() if pick is not None}
    return MethodAnswer(solutions.method, whole, summary.count, made, known)


def _is_known(solutions: Solutions, question: Question) -> bool:
    """Whether the question can be asked of a method: a limit on the error can't where no error is known."""
    return question.error >= WHOLE or solutions.errors is not None


def _narrowed(solutions: Solutions, question: Question) -> Solutions:
    windows: dict[str, Any] = {}
    for metric, (low, high) in (question.kept or {}).items():
        whole = metric_of(solutions.original, metric) * (solutions.bytes_per_element if metric == "memory" else 1)
        least = ceil(Fraction(str(low)) * whole / WHOLE) if low > 0 else None
        most = floor(Fraction(str(high)) * whole / WHOLE) if high < WHOLE else None
        if least is not None and most is not None and least > most:
            least = most = 0  # between two whole numbers there is none, nor at nothing
        if (least, most) != (None, None):
            windows[metric] = (least, most)
    if question.error < WHOLE:
        windows["error"] = (None, question.error / 100)
    return solutions.where(**windows) if windows else solutions


@lru_cache(maxsize=256)
def _envelope(solutions: Solutions, metric: str) -> pd.DataFrame:
    """The same for every window; of a large space it takes a third of a second."""
    whole = metric_of(solutions.original, metric)
    scale = solutions.bytes_per_element if metric == "memory" else 1
    every = solutions.within("all").where(**{metric: (None, int(VIEW * whole) * scale)})
    frame = every.envelope(LEVELS, metric)
    return frame.assign(low=scale * frame["low"], high=scale * frame["high"], method=solutions.method)


def _frame(solutions: Sequence[Solution]) -> pd.DataFrame:
    return pd.DataFrame([one.as_dict() for one in solutions])


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()


def _original(database: Database, question: Question) -> Cost:
    (row,) = [row for row in database.layers(question.network) if row["name"] == question.layer]
    return Cost(row["params"] or 0, row["fm"] or 0, row["flops"] or 0)


def _are_percents(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= WHOLE for value in values
    )
