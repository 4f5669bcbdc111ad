"""The layers that a run factorizes, each with its candidate configurations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import keras

from rankline.src.compress.model.surgery import refusal
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.search.candidates import candidates
from rankline.src.compress.search.patterns import matching
from rankline.src.db.database import Database
from rankline.src.db.queries.solution import Solution
from rankline.src.db.queries.solutions import Solutions
from rankline.src.db.records.networks import LayerRow
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.devices.latency import LatencyModel, UnmeasuredError
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import metric


@dataclass
class Target:
    """A layer with its present configuration (None: the original) and those still to come, from the smallest up.

    threshold: the similarity at which it keeps its ranks.
    """

    threshold: float
    original: Cost
    upcoming: Iterator[Solution]
    solution: Solution | None

    def advance(self) -> None:
        """Takes the next configuration."""
        self.solution = next(self.upcoming, None)

    @property
    def configuration(self) -> Configuration | None:
        """The present configuration."""
        return None if self.solution is None else self.solution.configuration


def targets_of(
    model: keras.Model, database: Database, network: str, settings: Settings, device: LatencyModel | None = None
) -> tuple[dict[str, Target], dict[str, str]]:
    """The layers to factorize, each at its lowest objective, and why the others are skipped, in the network's order.

    device: whose latencies are the objective, if that is latency; layers and methods that it has no numbers for are
    skipped. Raises UserError if there are none, and for a name or pattern that matches no layer.
    """
    device = device if metric(settings.objective).needs_device else None
    rows = database.layers(network)
    stored = {(row.layer, row.method) for row in database.spaces(network)}
    chosen = chosen_layers([row.name for row in rows], settings)
    skipped: dict[str, str] = {}
    found: dict[str, Target] = {}
    for row in rows:
        name, method = row.name, _method_for(row, stored, settings)
        if row.kept_because:
            skipped[name] = row.kept_because
        elif name not in chosen:
            skipped[name] = "left out by include or exclude"
        elif reason := refusal(model, name):
            skipped[name] = f"it {reason}"
        elif method is None:
            skipped[name] = f"not explored by {settings.conv_method} or {settings.dense_method}"
        else:
            try:
                target = _target(database.solutions(name, method, network, device), row.sequential, settings)
            except UnmeasuredError as error:
                skipped[name] = error.lacking
                continue
            if target is None:
                skipped[name] = f"no rank of {method} lowers the {settings.objective}, with both params and FLOPs below"
            else:
                found[name] = target
    for name in _smallest(found, settings):
        del found[name]
        skipped[name] = f"among the smallest {100 * settings.drop_smallest:g} % of the layers by {settings.objective}"
    if not found:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        raise UserError(f"no layer of '{network}' can be made smaller ({reasons})")
    return found, {row.name: skipped[row.name] for row in rows if row.name in skipped}


def chosen_layers(names: Sequence[str], settings: Settings) -> set[str]:
    """The names of a network's layers that ``include`` and ``exclude`` leave.

    Raises UserError for a name or pattern that matches no layer.
    """
    included = matching(names, settings.include) if settings.include else set(names)
    return included - matching(names, settings.exclude)


def _target(solutions: Solutions, sequential: bool, settings: Settings) -> Target | None:
    upcoming = candidates(
        solutions, settings.objective, settings.step, settings.max_solutions, settings.tolerance, settings.seed
    )
    first = next(upcoming, None)
    if first is None or first.reduction(settings.objective) <= 0:
        return None
    threshold = settings.sequential_threshold if sequential else settings.other_threshold
    return Target(threshold, solutions.original, upcoming, first)


def _smallest(found: Mapping[str, Target], settings: Settings) -> list[str]:
    by_size = sorted(found, key=lambda name: metric(settings.objective).of(found[name].original))
    return by_size[: int(settings.drop_smallest * len(found) + 1e-9)]


def _method_for(row: LayerRow, stored: set[tuple[str, str]], settings: Settings) -> str | None:
    """The run's method for the layer's kind; SVD for a convolution to which the run's conv method doesn't apply."""
    wanted = (settings.conv_method, "svd") if row.kind == "conv" else (settings.dense_method,)
    return next((method for method in wanted if (row.name, method) in stored), None)
