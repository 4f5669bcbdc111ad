"""The page's questions about a layer's spaces under windows, and the answers: counts, picks and points of the cloud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor
from typing import Any

import pandas as pd

from rankline.src.db.database import Database
from rankline.src.db.queries.line_windows import SETS
from rankline.src.db.queries.no_solution import NoSolutionError
from rankline.src.db.queries.solution import Solution
from rankline.src.db.queries.solutions import Solutions
from rankline.src.db.records.networks import LayerRow
from rankline.src.dse.cost import Cost
from rankline.src.dse.devices.latency import UnmeasuredError
from rankline.src.dse.devices.network import layer_latency
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.metric import Metric, metric
from rankline.src.dse.precision import ELEMENT_BYTES, F32
from rankline.src.dse.pruning import pruned_originals
from rankline.src.reports.explorer.devices import device_named, timed
from rankline.src.reports.explorer.given import precision_named, shown, text, texts
from rankline.src.reports.figures.axis import AXES
from rankline.src.reports.figures.smaller_originals import smaller_originals
from rankline.src.reports.figures.solution_cloud import AGAINST, cloud_ground, cloud_points
from rankline.src.reports.report.clouds import envelope_of, joined, table_of

SAMPLE, SEED = 120, 0
"""The most points of a method in the cloud, and the seed that draws them."""

WHOLE = 100
"""A window that ends at this percentage is open: it includes costs above the original's."""

Percents = tuple[float, float]


@dataclass(frozen=True)
class Question:
    """A layer and methods, narrowed to a set, windows and an error.

    ``kept``: the range of the original's cost that may be left, in percent, by metric; ``error``: the largest relative
    error in percent, 100 for no limit. ``against``: what the cloud draws the FLOPs against. ``device``: whose latencies
    are told. ``precision``: at which memory is read.
    """

    network: str
    layer: str
    methods: tuple[str, ...]
    within: str = "useful"
    kept: Mapping[str, Percents] | None = None
    error: float = WHOLE
    against: str = "params"
    device: str | None = None
    precision: str = F32.name

    def __post_init__(self) -> None:
        text("network", self.network)
        text("layer", self.layer)
        texts("method", self.methods)
        if text("set", self.within) not in SETS:
            raise one_of("set", self.within, list(SETS))
        if text("axis", self.against) not in AGAINST:
            raise one_of("axis", self.against, list(AGAINST))
        precision_named(self.precision)
        self._check_device(AXES[self.against].metric)
        for name, pair in (self.kept or {}).items():
            self._check_device(metric(name))
            if not (_are_percents(pair) and len(pair) == 2 and pair[0] <= pair[1]):
                raise UserError(
                    f"a window of {name} is two percents from 0 to {WHOLE}, low before high; got {shown(pair)}"
                )
        if not _are_percents([self.error]):
            raise UserError(f"an error is a percent from 0 to {WHOLE}; got {shown(self.error)}")

    def _check_device(self, asked: Metric) -> None:
        if asked.needs_device and not self.device:
            raise UserError(f"{asked.name} needs a device: choose one")


@dataclass(frozen=True)
class MethodAnswer:
    """One method: the number of configurations in the set and in the windows, and the latter's picks and sample.

    ``untimed``: why the device can't tell their latencies, so that nothing is counted; empty if it can.
    """

    method: str
    whole: int
    count: int
    picks: Mapping[str, Solution]
    sample: Sequence[Solution]
    errors_known: bool
    untimed: str = ""


def answers(database: Database, question: Question) -> list[MethodAnswer]:
    """The answer for each method. Raises UserError for anything that the database doesn't have."""
    return [_answer(one, question, why) for one, why in spaces(database, question)]


def cloud(
    database: Database, question: Question, found: Sequence[MethodAnswer], chosen: Solution | None
) -> dict[str, Any]:
    """The figure of a question's answers, as plotly JSON, with one configuration marked."""
    # The background shows the whole spaces, whatever set is asked for, and no errors.
    whole = tuple(replace(one.within("all"), errors=None) for one, why in spaces(database, question) if not why)
    original = _original(database, question)
    axis = AXES[question.against].at(question.precision)
    ground = _ground(whole, original, original.latency, question.against, question.precision)
    if chosen is not None and not axis.metric.is_known(chosen.cost):
        chosen = None
    picks = {pick for answer in found for pick in answer.picks.values()} - {chosen}
    points = cloud_points(
        question.methods,
        table_of([one for answer in found for one in answer.sample]),
        table_of([chosen] if chosen else []),
        table_of(sorted(picks, key=lambda one: (one.method, one.ranks))),
        question.against,
    )
    if not axis.metric.is_known(original):
        return {**ground, "data": [*ground["data"], *points]}
    device = device_named(database, question.device)
    shape = layer_row(database, question.network, question.layer).shape
    pruned = pruned_originals(shape, None if device is None else device.model)
    return {**ground, "data": [*ground["data"], *points, *smaller_originals(original, pruned, axis)]}


def layer_row(database: Database, network: str, layer: str) -> LayerRow:
    """The row of a layer in the database. Raises UserError for an unknown layer."""
    rows = {row.name: row for row in database.layers(network)}
    if layer not in rows:
        raise one_of(f"layer of '{network}'", layer, list(rows))
    return rows[layer]


def spaces(database: Database, question: Question) -> list[tuple[Solutions, str]]:
    """The configurations of each method, with their latencies if a device is asked, and why it can't tell them."""
    device = device_named(database, question.device)
    found = [database.solutions(question.layer, method, question.network) for method in question.methods]
    narrowed = [one.within(question.within).in_memory() for one in found]
    size = ELEMENT_BYTES[question.precision]
    return [timed(replace(one, bytes_per_element=size), device) for one in narrowed]


def _original(database: Database, question: Question) -> Cost:
    """The cost of the layer as it is, with its latency if the question's device can tell it."""
    row = layer_row(database, question.network, question.layer)
    device = device_named(database, question.device)
    if device is not None:
        with suppress(UnmeasuredError):
            return replace(row.cost, latency=layer_latency(device.model, row.shape))
    return row.cost


@lru_cache(maxsize=128)
def _ground(
    spaces: Sequence[Solutions], original: Cost, latency: int | None, against: str, precision: str
) -> dict[str, Any]:
    """The part of the figure that doesn't depend on windows. ``latency``: the original's, which the cost is known again
    without."""
    envelope = joined([_envelope(one, AXES[against].metric.name) for one in spaces])
    return cloud_ground(envelope, original, "", against, precision)


@lru_cache(maxsize=256)
def _envelope(solutions: Solutions, metric: str) -> pd.DataFrame:
    """Cached, because it is the same for all windows and choices of methods, and a large space takes a third of a
    second."""
    return envelope_of(solutions, metric)


def _answer(solutions: Solutions, question: Question, untimed: str) -> MethodAnswer:
    known = solutions.errors is not None
    whole = {"all": solutions.total, "better": solutions.better, "useful": solutions.useful}[question.within]()
    if untimed or not _is_known(solutions, question):
        return MethodAnswer(solutions.method, whole, 0, {}, (), known, untimed)
    narrowed = _narrowed(solutions, question)
    summary = narrowed.summary()
    picks = {"fewest FLOPs": summary.min_flops, "most FLOPs": summary.max_flops}
    if known:
        with suppress(NoSolutionError):
            picks["least error"] = narrowed.min_error()
    if solutions.device is not None:
        with suppress(NoSolutionError):
            picks["fastest"] = narrowed.lowest("latency")
    made = {name: pick for name, pick in picks.items() if pick is not None}
    return MethodAnswer(solutions.method, whole, summary.count, made, narrowed.random(SAMPLE, SEED), known)


def _is_known(solutions: Solutions, question: Question) -> bool:
    """Whether a method can answer the question: a limit on the error needs known errors."""
    return question.error >= WHOLE or solutions.errors is not None


def _narrowed(solutions: Solutions, question: Question) -> Solutions:
    windows: dict[str, Any] = {}
    for name, (low, high) in (question.kept or {}).items():
        whole = metric(name, solutions.bytes_per_element).of(solutions.original)
        least = ceil(Fraction(str(low)) * whole / WHOLE) if low > 0 else None
        most = floor(Fraction(str(high)) * whole / WHOLE) if high < WHOLE else None
        if least is not None and most is not None and least > most:
            least = most = 0  # no whole number is in the window; no configuration costs 0 either
        if (least, most) != (None, None):
            windows[name] = (least, most)
    if question.error < WHOLE:
        windows["error"] = (None, question.error / 100)
    return solutions.where(**windows) if windows else solutions


def _are_percents(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= WHOLE for value in values
    )
