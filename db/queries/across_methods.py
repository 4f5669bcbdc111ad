"""Queries over several methods or a whole network: the best for each layer, and the totals of a choice."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rankline.src.db.queries.no_solution import NoSolutionError, unknown_errors
from rankline.src.db.queries.solution import Solution
from rankline.src.db.queries.solutions import Solutions
from rankline.src.db.queries.windows import Bounds
from rankline.src.db.records.networks import NetworkRow, SpaceRow
from rankline.src.dse.cost import Cost
from rankline.src.dse.devices.latency import LatencyModel, UnmeasuredError
from rankline.src.dse.devices.network import beside_others, network_latency
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.layer import Layer


class LeftOutWarning(UserWarning):
    """A device has no numbers for a method of a layer, or for a layer of a network."""


def methods_by_layer(spaces: Iterable[SpaceRow], methods: Sequence[str] | None = None) -> dict[str, list[str]]:
    """The methods that each layer is explored with, restricted to those named.

    Raises UserError for a name that no layer is explored with.
    """
    known: dict[str, list[str]] = {}
    for row in spaces:
        known.setdefault(row.layer, []).append(row.method)
    possible = {method for names in known.values() for method in names}
    for name in methods or []:
        if name not in possible:
            raise one_of("method", name, sorted(possible))
    return {layer: [name for name in names if not methods or name in methods] for layer, names in known.items()}


def on_device(solutions: Solutions, device: LatencyModel | None) -> Solutions | None:
    """The configurations with their latencies on a device, if there is one.

    None, with a LeftOutWarning, if it has no numbers for them.
    """
    if device is None:
        return solutions
    try:
        return solutions.on(device)
    except UnmeasuredError as error:
        told = f"layer '{solutions.layer}' by {solutions.method} is left out: {error}"
        warnings.warn(told, LeftOutWarning, stacklevel=2)
        return None


def lowest_of(
    solutions: Solutions, lowest: str, windows: Mapping[str, Bounds], device: LatencyModel | None = None
) -> Solution | None:
    """The configuration with the lowest metric in the windows.

    None if there is none or, under an error window, if the errors aren't known; also as ``on_device`` says.
    """
    if "error" in windows and solutions.errors is None:
        return None
    found = on_device(solutions, device)
    if found is None:
        return None
    try:
        return found.where(**windows).lowest(lowest)
    except NoSolutionError:
        return None


def best_of_layers(
    layers: Mapping[str, Iterable[Solutions]],
    lowest: str,
    windows: Mapping[str, Bounds],
    device: LatencyModel | None = None,
) -> dict[str, Solution | None]:
    """For each layer, the configuration with the lowest metric over several methods; None if no method has one.

    Ties go to fewer params, fewer FM, then the method listed first. Layers that share a space are answered by one query
    unless windows are about their errors, which are their own.
    """
    known: dict[tuple[int, Cost], Solution | None] = {}

    def lowest_in(one: Solutions) -> Solution | None:
        if "error" in windows:
            return lowest_of(one, lowest, windows, device)
        same = one.space.id, one.original
        if same not in known:
            known[same] = lowest_of(one, lowest, windows, device)
        found = known[same]
        return found and replace(found, layer=one.layer, errors=one.errors)

    def best(methods: Iterable[Solutions]) -> Solution | None:
        found = [solution for one in methods if (solution := lowest_in(one))]
        return min(found, key=lambda one: (one.value(lowest), one.params, one.fm), default=None)

    return {layer: best(methods) for layer, methods in layers.items()}


def totals(
    network: NetworkRow, layers: Sequence[Layer], choice: Mapping[str, Solution], device: LatencyModel | None = None
) -> tuple[Cost, Cost]:
    """A network's original cost, and its cost with one configuration for some of its layers.

    With a device, also the latency of a call, if the configurations have theirs; a LeftOutWarning names layers that the
    device has no numbers for. Raises UserError for a layer that the network doesn't have.
    """
    before = network.cost
    if device is not None:
        latency, left_out = network_latency(device, layers)
        before = replace(before, latency=latency)
        if left_out:
            named = ", ".join(f"'{name}'" for name in left_out)
            told = f"the network's latency is without {named}: device '{device.device}' has no numbers for them"
            warnings.warn(told, LeftOutWarning, stacklevel=2)
    after, known = before, [layer.name for layer in layers]
    for name, solution in choice.items():
        if name not in known:
            raise UserError(f"network '{network.name}' has no layer '{name}'; it has: {', '.join(known)}")
        after = after - solution.original + solution.cost
    return beside_others(device, before, before.params), beside_others(device, after, after.params)


def pareto_of_layer(
    layer: str,
    methods: Iterable[Solutions],
    costs: Sequence[str],
    windows: Mapping[str, Bounds],
    device: LatencyModel | None = None,
) -> list[Solution]:
    """The front of error against costs over several methods of a layer: all that is not dominated, cheapest first.

    Methods whose errors aren't known are left out, and those that ``on_device`` leaves out. Raises UserError if none is
    known.
    """
    import moocore
    import numpy as np

    measured = [one for one in methods if one.errors is not None]
    if not measured:
        raise unknown_errors(f"'{layer}'")
    timed = [one for some in measured if (one := on_device(some, device))]
    found = [point for one in timed for point in one.where(**windows).pareto(*costs)]
    if not found:
        return []
    points = np.array([[*(one.value(cost) for cost in costs), one.error] for one in found], np.float64)
    kept = np.flatnonzero(moocore.is_nondominated(points, keep_weakly=False))
    return sorted((found[place] for place in kept), key=lambda one: [one.value(cost) for cost in costs])
