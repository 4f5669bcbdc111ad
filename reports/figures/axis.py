"""What figures draw configurations by: each axis with its metric and unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rankline.src.dse.metric import FLOPS, FM, LATENCY, MEMORY, PARAMS, Metric


@dataclass(frozen=True)
class Axis:
    """An axis: its metric and title, the unit after its numbers, and how much of the metric ``one`` of that unit is."""

    metric: Metric
    title: str
    unit: str = ""
    one: int = 1

    def place(self, value: int) -> float:
        """Where a value of the metric is on the axis; whole if the axis is in the metric's unit."""
        return value if self.one == 1 else value / self.one

    def shown(self) -> dict[str, Any]:
        """What plotly takes for the axis beside its title: with the unit, 2e-4 reads as 200µs."""
        return {"ticksuffix": self.unit} if self.unit else {}


AXES = {
    "params": Axis(PARAMS, "params (weights)"),
    "fm": Axis(FM, "feature maps (elements)"),
    "flops": Axis(FLOPS, "FLOPs per sample"),
    "memory_bytes": Axis(MEMORY, "memory (bytes)"),
    "latency_ps": Axis(LATENCY, "latency (seconds)", unit="s", one=10**12),
}
"""By the column of ``Solution.as_dict``."""
