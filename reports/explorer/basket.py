"""The basket: chosen configurations of a network's layers, one per layer. The browser stores it, as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rankline.src.db.database import Database
from rankline.src.db.queries.solution import Solution
from rankline.src.dse.cost import Cost
from rankline.src.dse.devices.by_layer import NetworkTimes, network_times
from rankline.src.dse.devices.device import Device
from rankline.src.dse.errors import UserError
from rankline.src.dse.plan import Plan, plan_to_json
from rankline.src.reports.explorer.configurations import solution_of


@dataclass(frozen=True)
class Basket:
    """The choices by layer, and the whole network's cost without and with them.

    ``refused``: why what the browser stored for a layer is not a configuration, by layer; ``times``: the latencies of a
    call on the ``device``, if one is asked.
    """

    network: str
    choices: Mapping[str, Solution]
    refused: Mapping[str, str]
    before: Cost
    after: Cost
    device: Device | None = None
    times: NetworkTimes | None = None

    def plan(self) -> str:
        """The choices as ``rankline factorize --plan`` reads them."""
        return plan_to_json(_plan(self.choices))

    def saved_time(self, layer: str) -> float | None:
        """The fraction of a layer's latency that its choice saves; None where that isn't known."""
        one = next((one for one in self.times.layers if one.layer == layer), None) if self.times else None
        return 1 - one.after / one.before if one and one.before and one.after is not None else None


def basket_of(database: Database, network: str, kept: Any, device: Device | None = None) -> Basket:
    """The basket of a network, from what the browser stored: configurations as text, by network and layer.

    With a device, also its latencies. Raises UserError for an unknown network.
    """
    texts = _kept_texts(kept).get(network, {})
    names = [row.name for row in database.layers(network)]
    refused = {layer: f"{network} has no such layer" for layer in texts if layer not in names}
    choices = {}
    for layer in filter(texts.__contains__, names):
        try:
            choices[layer] = solution_of(database, network, layer, texts[layer])
        except UserError as error:
            refused[layer] = str(error)
    totals = database.totals(choices, network)
    shapes = [] if device is None else database.layer_shapes(network)
    weights = totals[0].params, totals[1].params
    times = None if device is None else network_times(device.model, shapes, _plan(choices), weights)
    return Basket(network, choices, refused, *totals, device, times)


def with_choice(kept: Any, network: str, layer: str, text: str | None) -> dict[str, dict[str, Any]]:
    """What the browser stores, with a layer's configuration set, or removed (None)."""
    found = _kept_texts(kept)
    texts = {name: one for name, one in found.get(network, {}).items() if name != layer}
    return {**found, network: texts if text is None else {**texts, layer: text}}


def emptied(kept: Any, network: str) -> dict[str, dict[str, Any]]:
    """What the browser stores, without a network's choices."""
    return {name: texts for name, texts in _kept_texts(kept).items() if name != network}


def _plan(choices: Mapping[str, Solution]) -> Plan:
    return {name: one.configuration for name, one in choices.items()}


def _kept_texts(kept: Any) -> dict[str, dict[str, Any]]:
    """The well-formed part of what the browser stored."""
    return {name: texts for name, texts in kept.items() if isinstance(texts, dict)} if isinstance(kept, dict) else {}
