"""Each layer's figures, from the database: the costs of its configurations, and their errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from rankline.src.db.database import Database
from rankline.src.db.queries.solution import Solution
from rankline.src.db.queries.solutions import Solutions
from rankline.src.db.records.networks import LayerRow
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.metric import MEMORY, metric
from rankline.src.dse.pruning import pruned_originals
from rankline.src.reports.figures.axis import AXES
from rankline.src.reports.figures.drawn import Drawn
from rankline.src.reports.figures.front import front
from rankline.src.reports.figures.solution_cloud import VIEW, solution_cloud
from rankline.src.reports.report.layers import ReportedLayer

PLANE = "memory_bytes"
"""What the clouds draw FLOPs against: FLOPs and memory are the plane of the literature's first figures."""

LEVELS, SAMPLE, FRONT = 60, 300, 40
"""Levels of an envelope, and the most points of a cloud and of a front, for each method."""


@dataclass(frozen=True)
class LayerFigures:
    """A layer, its cloud, and its front of error against params (None if no error is known)."""

    layer: ReportedLayer
    cloud: Drawn
    front: Drawn | None


def layer_figures(
    database: Database, network: str, layers: Sequence[ReportedLayer], seed: int
) -> Iterator[LayerFigures]:
    """Every layer that has spaces, with its figures.

    The envelope covers all configurations in the cloud's view; its points are a sample of the useful ones.
    """
    methods: dict[str, list[str]] = {}
    for space in database.spaces(network):
        methods.setdefault(space.layer, []).append(space.method)
    cache: dict[tuple[int, Cost], tuple[pd.DataFrame, pd.DataFrame]] = {}
    drawn: dict[tuple[Any, ...], str] = {}
    for layer in layers:
        spaces = [database.solutions(layer.name, method, network) for method in methods.get(layer.name, [])]
        if not spaces:
            continue
        keys = [(solutions.space.id, solutions.original) for solutions in spaces]
        for key, solutions in zip(keys, spaces, strict=True):
            # Equal layers share their spaces, and a large one takes a second.
            if key not in cache:
                cache[key] = envelope_of(solutions, MEMORY.name), table_of(solutions.random(SAMPLE, seed))
        envelope, sample = (joined(parts) for parts in zip(*(cache[key] for key in keys), strict=True))
        smaller = pruned_originals(layer.shape)
        figure = solution_cloud(envelope, sample, layer.cost, _chosen(layer), "", against=PLANE, pruned=smaller)
        name = f"cloud-{layer.position}"
        first = drawn.setdefault((*keys, _mark(layer)), name)
        label = f"FLOPs against memory of the configurations of {layer.name}"
        cloud = Drawn(name, label, figure, layer.name, same_as="" if first == name else first)
        yield LayerFigures(layer, cloud, drawn_front(layer, spaces))


def envelope_of(solutions: Solutions, against: str = "params") -> pd.DataFrame:
    """The envelope of all configurations in a cloud's view, against a metric."""
    top = int(VIEW * metric(against, solutions.bytes_per_element).of(solutions.original))
    frame = solutions.within("all").where(**{against: (None, top)}).envelope(LEVELS, against)
    return frame.assign(method=solutions.method)


def table_of(solutions: Sequence[Solution]) -> pd.DataFrame:
    """A row for each configuration (see ``Solution.as_dict``)."""
    return pd.DataFrame([one.as_dict() for one in solutions])


def joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The frames concatenated, without empty ones, whose columns have no type."""
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()


def _mark(layer: ReportedLayer) -> Configuration | None:
    """The configuration that is marked in the figure."""
    return None if layer.choice is None else layer.choice.configuration


def _chosen(layer: ReportedLayer) -> pd.DataFrame:
    if layer.choice is None:
        return pd.DataFrame()
    reductions = {"params_reduction": layer.params_saved, "flops_reduction": layer.flops_saved}
    return pd.DataFrame([{**layer.choice.as_dict(), PLANE: MEMORY.of(layer.choice.cost), **reductions}])


def drawn_front(layer: LayerRow, spaces: Sequence[Solutions], against: str = "params") -> Drawn | None:
    """Each method's own front of error against one of AXES, evenly thinned out; None if no error is known."""
    rows, cost = [], AXES[against].metric
    for solutions in spaces:
        found = solutions.pareto(cost.name) if solutions.errors is not None else []
        last = min(len(found), FRONT) - 1
        rows += [found[j * (len(found) - 1) // max(last, 1)].as_dict() for j in range(last + 1)]
    if not rows:
        return None
    label = f"Relative error against {cost.title} of the configurations of {layer.name}"
    return Drawn(f"front-{layer.position}", label, front(pd.DataFrame(rows), "", against), layer.name)
