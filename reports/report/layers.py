"""The layers of a network in a report: each with its choice in the run, or why it is unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rankline.src.db.records.networks import LayerRow
from rankline.src.db.records.runs import LayerRecord
from rankline.src.reports.report.outcome import Outcome

SKIPPED, DAMAGES = "skipped", "damages"
"""Keys of a run's settings: the skipped layers with their reasons, and, under a budget, the predicted damage of each
layer, by trial."""


@dataclass(frozen=True)
class ReportedLayer(LayerRow):
    """A layer with its ``choice`` in the run, its share of the ``damage`` if that was predicted, and the reason if it
    was ``kept`` unchanged."""

    choice: LayerRecord | None = None
    kept: str | None = None
    damage: float | None = None

    @property
    def params_saved(self) -> float | None:
        """The fraction of its params that the choice saves."""
        return None if self.choice is None else 1 - self.choice.cost.params / self.cost.params

    @property
    def flops_saved(self) -> float | None:
        """The fraction of its FLOPs that the choice saves."""
        return None if self.choice is None else 1 - self.choice.cost.flops / self.cost.flops


def reported_layers(layers: Sequence[LayerRow], result: Outcome | None) -> list[ReportedLayer]:
    """The layers of a network; without a run, or without a trial in it, all unchanged."""
    best = result.best if result else None
    choices = {one.layer: one for one in best.layers} if best else {}
    skipped = _mapping(result.run.settings.get(SKIPPED)) if result else {}
    damages = _damage_shares(result)
    found = []
    for row in layers:
        choice = choices.get(row.name)
        kept = row.kept_because or skipped.get(row.name)
        if kept is None and choice is not None and choice.method is None:
            kept = "the budget had room for it" if damages else "no configuration was close enough to the original"
        if not row.cost.is_whole:
            kept = f"{kept}; its FLOPs are not known"
        made = choice if choice is not None and choice.method is not None else None
        found.append(ReportedLayer(**vars(row), choice=made, kept=kept, damage=damages.get(row.name)))
    return found


def _damage_shares(result: Outcome | None) -> dict[str, float]:
    """Each layer's share of the predicted damage of the best trial."""
    if result is None or result.best is None:
        return {}
    found = _mapping(_mapping(result.run.settings.get(DAMAGES)).get(str(result.best.number)))
    total = sum(found.values())
    return {name: value / total if total else 0.0 for name, value in found.items()}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
