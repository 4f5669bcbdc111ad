"""Questions about a whole network: the best method for each layer, and totals under a choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from db.solution import Solution
from db.solutions import NoSolutionError
from db.windows import Bounds
from dse.errors import UserError, one_of
from dse.formula import Cost

if TYPE_CHECKING:
    from db.database import Database


def best_by_method(
    database: Database, layer: str, network: str | None, lowest: str, within: str, windows: Mapping[str, Bounds]
) -> dict[str, Solution | None]:
    """For each method of a layer, its configuration with the lowest metric in the windows; None where it has none."""
    known = [row["method"] for row in database.spaces(network) if row["layer"] == layer]
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
    before = Cost(row["params"], row["fm"], row["flops"])
    layers = {layer["name"]: layer for layer in database.layers(network)}
    saved = {"params": 0, "fm": 0, "flops": 0}
    for name, solution in choice.items():
        if name not in layers:
            raise UserError(f"network '{row['name']}' has no layer '{name}'; it has: {', '.join(layers)}")
        saved = {metric: saved[metric] + layers[name][metric] - getattr(solution, metric) for metric in saved}
    return before, Cost(before.params - saved["params"], before.fm - saved["fm"], before.flops - saved["flops"])


def _lowest(
    database: Database,
    layer: str,
    method: str,
    network: str | None,
    lowest: str,
    within: str,
    windows: Mapping[str, Bounds],
) -> Solution | None:
    try:
        return database.solutions(layer, method, network).within(within).where(**windows).lowest(lowest)
    except NoSolutionError:
        return None
