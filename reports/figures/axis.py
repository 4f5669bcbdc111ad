"""What figures draw configurations by: each axis with its metric and unit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rankline.src.dse.metric import FLOPS, FM, LATENCY, MEMORY, PARAMS, Metric
from rankline.src.dse.precision import ELEMENT_BYTES, F32


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

    @property
    def is_in_bytes(self) -> bool:
        """Whether a precision changes it."""
        return self.metric.bytes_per_element is not None

    def at(self, precision: str) -> Axis:
        """The axis at one of ``ELEMENT_BYTES``, which its title tells; an axis that isn't in bytes stays the same."""
        if not self.is_in_bytes or precision == F32.name:
            return self
        return replace(self, metric=self.metric.at(ELEMENT_BYTES[precision]), title=f"{self.title} at {precision}")

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
