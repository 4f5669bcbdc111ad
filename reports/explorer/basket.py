"""The basket: one configuration for each of some layers of a network. The browser keeps it, as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compress.plan import Choice, plan_to_json
from db.database import Database
from db.solution import Solution
from dse.errors import UserError
from dse.formula import Cost
from reports.explorer.configurations import solution_of


@dataclass(frozen=True)
class Basket:
    """The choices by layer, and the whole network's cost as it is and with them."""

    network: str
    choices: Mapping[str, Solution]
    before: Cost
    after: Cost

    def plan(self) -> str:
        """The choices as ``rankline factorize --plan`` reads them."""
        return plan_to_json({name: Choice(one.method, one.ranks, one.shape) for name, one in self.choices.items()})


def basket_of(database: Database, network: str, kept: Any) -> Basket:
    """The basket of a network from what the browser kept: by network, by layer, a configuration's text.

    Raises UserError where it holds anything that the database doesn't.
    """
    texts = kept.get(network, {}) if isinstance(kept, dict) else {}
    if not isinstance(texts, dict):
        raise UserError(f"a basket holds a configuration a layer; got {str(texts)[:60]!r}")
    order = {row["name"]: row["position"] for row in database.layers(network)}
    choices = {layer: solution_of(database, network, layer, text) for layer, text in texts.items()}
    choices = dict(sorted(choices.items(), key=lambda pair: order[pair[0]]))
    return Basket(network, choices, *database.totals(choices, network))


def with_choice(kept: Any, network: str, layer: str, text: str | None) -> dict[str, dict[str, str]]:
    """What the browser keeps, with a layer's configuration, or without (None)."""
    found = {name: dict(texts) for name, texts in kept.items()} if isinstance(kept, dict) else {}
    texts = found.setdefault(network, {})
    texts.pop(layer, None)
    if text is not None:
        texts[layer] = text
    return found
