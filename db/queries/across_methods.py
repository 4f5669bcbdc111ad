"""Questions about a whole network: the best method for each layer, and totals under a choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rankline.src.db.queries.no_solution import NoSolutionError, unknown_errors
from rankline.src.db.queries.solution import Solution
from rankline.src.db.queries.windows import Bounds
from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import UserError, one_of

if TYPE_CHECKING:
    from rankline.src.db.database import Database


def best_by_method(
    database: Database, layer: str, network: str | None, lowest: str, within: str, windows: Mapping[str, Bounds]
) -> dict[str, Solution | None]:
    """For each method of a layer, its configuration with the lowest metric in the windows; None where it has none.

    Under an error window also None for a method whose errors aren't known.
    """
    known = _methods_of(database, layer, network)
    return {method: _lowest(database, layer, method, network, lowest, within, windows) for method in known}


def best_of_layers(
    database: Database,
    network: str | None,
    lowest: str,
    within: str,
    methods: Sequence[str] | None,
    windows: Mapping[str, Bounds],
) -> dict[str, Solution | None]:
    """For each layer that has spaces, the configuration with the lowest metric over all (or the named) methods.

    Ties go to fewer params, fewer FM, then the method listed first. None where no method has any.
    """
    known: dict[str, list[str]] = {}
    for row in database.spaces(network):
        known.setdefault(row["layer"], []).append(row["method"])
    possible = {method for names in known.values() for method in names}
    for name in methods or []:
        if name not in possible:
            raise one_of("method", name, sorted(possible))
    best: dict[str, Solution | None] = {}
    for layer, names in known.items():
        chosen = [name for name in names if not methods or name in methods]
        found = [_lowest(database, layer, name, network, lowest, within, windows) for name in chosen]
        some = [one for one in found if one is not None]
        best[layer] = min(some, key=lambda one: (one.value(lowest), one.params, one.fm), default=None)
    return best


def totals(database: Database, network: str | None, choice: Mapping[str, Solution]) -> tuple[Cost, Cost]:
    """A network's cost as it is, and with one configuration for some of its layers.

    Raises UserError for a layer that the network doesn't have.
    """
    row = database.network(network)
    layers = {layer["name"]: layer for layer in database.layers(network)}
    before = after = Cost(row["params"], row["fm"], row["flops"], len(layers))
    for name, solution in choice.items():
        if name not in layers:
            raise UserError(f"network '{row['name']}' has no layer '{name}'; it has: {', '.join(layers)}")
        after = after - solution.original + solution.cost
    return before, after


def _methods_of(database: Database, layer: str, network: str | None) -> list[str]:
    """The methods that a layer is explored by. Raises UserError where there is none."""
    known = [row["method"] for row in database.spaces(network) if row["layer"] == layer]
    if known:
        return known
    layers = {row["name"]: row for row in database.layers(network)}
    if layer not in layers:
        raise one_of("layer", layer, list(layers))
    reason = layers[layer]["kept_because"] or "it has no configurations by the methods and options it was explored with"
    raise UserError(f"layer '{layer}' has no solution space: {reason}")


def _lowest(
    database: Database,
    layer: str,
    method: str,
    network: str | None,
    lowest: str,
    within: str,
    windows: Mapping[str, Bounds],
) -> Solution | None:
    solutions = database.solutions(layer, method, network).within(within)
    if "error" in windows and solutions.errors is None:
        return None
    try:
        return solutions.where(**windows).lowest(lowest)
    except NoSolutionError:
        return None


def pareto_of_layer(
    database: Database,
    layer: str,
    network: str | None,
    costs: Sequence[str],
    within: str,
    windows: Mapping[str, Bounds],
    methods: Sequence[str] | None = None,
) -> list[Solution]:
    """The front of error against costs over several methods of a layer, cheapest first: what nothing beats.

    Methods whose errors aren't known are left out. Raises UserError where none is known, and for an unknown method.
    """
    import moocore
    import numpy as np

    known = _methods_of(database, layer, network)
    for name in methods or []:
        if name not in known:
            raise one_of(f"method for layer '{layer}'", name, known)
    asked = [database.solutions(layer, name, network) for name in known if not methods or name in methods]
    measured = [one for one in asked if one.errors is not None]
    if not measured:
        raise unknown_errors(f"'{layer}'")
    found = [point for one in measured for point in one.within(within).where(**windows).pareto(*costs)]
    if not found:
        return []
    points = np.array([[*(one.value(cost) for cost in costs), one.error] for one in found], np.float64)
    kept = np.flatnonzero(moocore.is_nondominated(points, keep_weakly=False))
    return sorted((found[place] for place in kept), key=lambda one: [one.value(cost) for cost in costs])
