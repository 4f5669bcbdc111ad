"""Figs. 6 and 7: scores of the methods, from 0 to 1, averaged over the layers to which they all apply.

On a layer the best method scores 1. If less is better, a method scores (the least of all methods) / (its own); if more
is better, (its own) / (the most of all methods), or 1 if the most is 0. A method without a better solution of the layer
scores 0, except for the rank configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log10

from rankline.src.dse.methods import METHODS
from rankline.src.dse.numbers import decimals
from rankline.src.reports.report.table import Column, Table
from rankline.src.reports.study.measures import Measures, choices
from rankline.src.reports.study.networks import KnownSpace, Studied, StudiedLayer
from rankline.src.reports.study.published import CONV_METHODS, DENSE_METHODS

Value = Callable[[str, KnownSpace, Measures], float]

GROUPS = {"conv": CONV_METHODS, "dense": DENSE_METHODS}


@dataclass(frozen=True)
class Criterion:
    """A criterion of the scores: the value of a method on a layer, and whether less of it is better."""

    title: str
    meaning: str
    value: Value
    less: bool


def _extreme(metric: str, end: int) -> Value:
    def value(method: str, space: KnownSpace, measures: Measures) -> float:
        return (measures.extremes or {})[metric][end]

    return value


CRITERIA = (
    Criterion(
        "rank configuration",
        "numbers to set for one configuration: the ranks (the most it can have), and one for T3F's tensor shape",
        lambda method, space, measures: choices(method, space),
        less=True,
    ),
    Criterion("best params", "fewest params of a better solution", _extreme("params", 0), less=True),
    Criterion("worst params", "most params of a better solution", _extreme("params", 1), less=True),
    Criterion("best FLOPs", "fewest FLOPs of a better solution", _extreme("flops", 0), less=True),
    Criterion("worst FLOPs", "most FLOPs of a better solution", _extreme("flops", 1), less=True),
    Criterion(
        "best memory", "least memory of a better solution, 4 bytes × (params + FM)", _extreme("memory", 0), less=True
    ),
    Criterion(
        "worst memory", "most memory of a better solution, 4 bytes × (params + FM)", _extreme("memory", 1), less=True
    ),
    Criterion(
        "size of the space",
        "log10(1 + useful solutions)",
        lambda method, space, measures: log10(1 + space.n_useful),
        less=False,
    ),
    Criterion(
        "params coverage",
        "share of the 100 levels of params reduction, each 1 % wide, that have a better solution",
        lambda method, space, measures: measures.covered["params"],
        less=False,
    ),
    Criterion(
        "FLOPs coverage",
        "share of the 100 levels of FLOPs reduction, each 1 % wide, that have a better solution",
        lambda method, space, measures: measures.covered["flops"],
        less=False,
    ),
    Criterion(
        "flexibility",
        "mean width of the range of FLOPs reductions, over the levels of params reduction that have a better solution",
        lambda method, space, measures: measures.width,
        less=False,
    ),
)

FORMULA = (
    "On each layer the best method scores 1. Less is better: score = least of all methods / own value. More is better: "
    "score = own value / most of all methods. A method without a better solution scores 0, except for the rank "
    "configuration. Shown: the mean over layers, equal layers counted each time.",
    "Decomposition time is left out: it can't be measured yet.",
)


def scores(studied: Studied, measures: Mapping[int, Measures], group: str) -> Table:
    """The mean score of each method of a group (conv or dense) by each criterion."""
    methods = GROUPS[group]
    layers = [one for one in studied.layers if all(method in one.spaces for method in methods)]
    scored = [one for one in layers if any(measures[one.spaces[method].id].extremes for method in methods)]
    rows = []
    for criterion in CRITERIA:
        parts = [layer_scores(criterion, one, measures, methods) for one in scored]
        means = [sum(column) / len(scored) if scored else None for column in zip(*parts, strict=True)]
        rows.append(
            {
                "criterion": criterion.title,
                **dict(zip(methods, means or [None] * len(methods), strict=True)),
                "better": "less" if criterion.less else "more",
                "value": criterion.meaning,
            }
        )
    columns = (
        Column("criterion", "criterion"),
        *(Column(method, METHODS[method].title, decimals, number=True) for method in methods),
        Column("better", "better is"),
        Column("value", "value"),
    )
    what, figure = ("Convolution", 6) if group == "conv" else ("Dense layer", 7)
    names = ", ".join(METHODS[method].title for method in methods)
    title = f"{what} methods: scores of {names} (Fig. {figure})"
    return Table(f"scores_{group}", title, columns, rows, (studied.coverage(), _layers(layers, scored), *FORMULA))


def layer_scores(
    criterion: Criterion, layer: StudiedLayer, measures: Mapping[int, Measures], methods: Sequence[str]
) -> list[float]:
    """The methods' scores on one layer."""
    always = criterion is CRITERIA[0]
    values: list[float | None] = []
    for method in methods:
        space = layer.spaces[method]
        found = measures[space.id]
        values.append(criterion.value(method, space, found) if always or found.extremes else None)
    known = [value for value in values if value is not None]
    if criterion.less:
        return [0.0 if value is None else min(known) / value for value in values]
    most = max(known)
    return [0.0 if value is None else value / most if most else 1.0 for value in values]


def _layers(layers: Sequence[StudiedLayer], scored: Sequence[StudiedLayer]) -> str:
    pointwise = sum(one.layer.kind == "conv" and one.layer.is_pointwise for one in scored)
    extra = f", {pointwise} of them 1×1 convolutions, which are matrices" if pointwise else ""
    left = len(layers) - len(scored)
    without = f" Left out: {left} on which none of the methods has a better solution." if left else ""
    return f"Over {len(scored)} layers to which all the methods apply{extra}.{without}"
