"""What the spaces of the networks' layers take on a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from rankline.src.db.database import Database
from rankline.src.db.queries.solutions import Solutions
from rankline.src.dse.devices.device import Device
from rankline.src.dse.errors import UserError
from rankline.src.dse.methods import METHODS
from rankline.src.dse.metric import LATENCY
from rankline.src.dse.progress import Progress
from rankline.src.reports.study.networks import StudiedLayer

LEVELS = ("0.1", "0.3", "0.5", "0.7", "0.9")
"""The params reductions at which methods are compared."""

NEAR = Fraction("0.05")
"""What saves this much more than a level is not at the level: it would be faster for saving more."""


@dataclass(frozen=True)
class Latencies:
    """The latencies of a space on a device, in picoseconds.

    ``original``: the layer as it is. ``lowest``: at each of LEVELS, the lowest of the useful configurations there (see
    ``Solutions.at``); None if none is between the level and NEAR above it. ``n_better``, ``n_faster``: the better
    configurations, and those of them that are faster than the original.
    """

    original: int
    lowest: tuple[int | None, ...]
    n_better: int
    n_faster: int


@dataclass(frozen=True)
class OnDevice:
    """The latencies of spaces on a device, by the space's id; spaces that it has no numbers for are missing."""

    device: Device
    spaces: Mapping[int, Latencies]

    def of(self, layer: StudiedLayer) -> dict[str, Latencies]:
        """The latencies on a layer, by method in the registry's order."""
        known = {method: self.spaces.get(layer.spaces[method].id) for method in METHODS if method in layer.spaces}
        return {method: one for method, one in known.items() if one is not None}

    def left_out(self, layers: Sequence[StudiedLayer]) -> dict[str, list[StudiedLayer]]:
        """The layers that the device has no numbers for, by method."""
        found: dict[str, list[StudiedLayer]] = {}
        for layer in layers:
            for method in layer.spaces.keys() - self.of(layer).keys():
                found.setdefault(method, []).append(layer)
        return {method: found[method] for method in METHODS if method in found}


def measure_on(database: Database, device: Device, layers: Sequence[StudiedLayer], progress: Progress) -> OnDevice:
    """The latencies of all spaces of the layers on a device; those of equal layers are found once."""
    todo: dict[int, tuple[StudiedLayer, str]] = {}
    for layer in layers:
        for method, space in layer.spaces.items():
            todo.setdefault(space.id, (layer, method))
    found: dict[int, Latencies] = {}
    for done, (space_id, (layer, method)) in enumerate(todo.items()):
        progress(f"latencies {layer.network} {layer.layer.name} {method}", done, len(todo))
        try:
            solutions = database.solutions(layer.layer.name, method, layer.stored_as, device)
        except UserError:  # the device has no numbers for it
            continue
        found[space_id] = latencies(solutions)
    return OnDevice(device, found)


def latencies(solutions: Solutions) -> Latencies:
    """The latencies of a space from its configurations on a device."""
    whole = LATENCY.of(solutions.original)
    faster = solutions.within("better").where(latency=(None, whole - 1)).count()
    useful = solutions.within("useful")
    return Latencies(whole, tuple(_lowest(useful, level) for level in LEVELS), solutions.better(), faster)


def _lowest(useful: Solutions, level: str) -> int | None:
    if not useful.where(params_reduction=(level, Fraction(level) + NEAR)).count():
        return None
    return useful.at(float(level), "params").lowest("latency").latency
