"""Each layer's figure of what its configurations can cost, from the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from db.database import Database
from db.solutions import Solutions
from dse.formula import Cost
from reports.figures.solution_cloud import VIEW, solution_cloud
from reports.outcome import cost_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

Row = Mapping[str, Any]

LEVELS, SAMPLE = 60, 300
"""Levels of an envelope, and the most points of a cloud, for each method."""


def layer_clouds(
    database: Database, network: str, layers: Sequence[Row], choices: Sequence[Row], seed: int
) -> Iterator[tuple[Row, go.Figure]]:
    """Every layer that has spaces, with its figure; ``choices`` are a trial's layers, or none.

    The envelope is over all configurations that the figure has room for, the cloud a sample of the useful ones.
    """
    methods: dict[str, list[str]] = {}
    for space in database.spaces(network):
        methods.setdefault(space["layer"], []).append(space["method"])
    chosen = {choice["layer"]: choice for choice in choices if choice["method"]}
    cache: dict[tuple[int, Cost], tuple[pd.DataFrame, pd.DataFrame]] = {}
    for layer in layers:
        frames = []
        for method in methods.get(layer["name"], []):
            solutions = database.solutions(layer["name"], method, network)
            # Equal layers share their spaces; the larger ones take a second to go through.
            key = solutions.space.id, solutions.original
            if key not in cache:
                cache[key] = _envelope(solutions), _sample(solutions, seed)
            frames.append(cache[key])
        if frames:
            envelope, sample = (_joined(parts) for parts in zip(*frames, strict=True))
            mark = _chosen(chosen.get(layer["name"]), layer)
            yield layer, solution_cloud(envelope, sample, cost_of(layer), mark, title="")


def _envelope(solutions: Solutions) -> pd.DataFrame:
    top = int(VIEW * solutions.original.params)
    return solutions.within("all").where(params=(None, top)).envelope(LEVELS).assign(method=solutions.method)


def _sample(solutions: Solutions, seed: int) -> pd.DataFrame:
    return pd.DataFrame([one.as_dict() for one in solutions.random(SAMPLE, seed)])


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The frames one below the other, without the empty ones, whose columns have no type."""
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()


def _chosen(choice: Row | None, layer: Row) -> pd.DataFrame:
    if choice is None:
        return pd.DataFrame()
    reductions = {f"{metric}_reduction": 1 - choice[metric] / layer[metric] for metric in ("params", "flops")}
    return pd.DataFrame([{**choice, **reductions}])
