"""One configuration of a layer, with its exact cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rankline.src.db.records.error_tables import LayerErrors
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.metric import METRICS, REDUCTION, counted, metric


@dataclass(frozen=True)
class Solution:
    """A layer factorized by a configuration.

    ``cost`` counts one sample; ``original`` is the cost of the original layer.
    """

    layer: str
    configuration: Configuration
    cost: Cost
    original: Cost
    bytes_per_element: int = 4
    errors: LayerErrors | None = field(default=None, compare=False, repr=False)

    @property
    def method(self) -> str:
        """The method's name."""
        return self.configuration.method

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks, in the order of the chain."""
        return self.configuration.ranks

    @property
    def shape(self) -> str | None:
        """T3F's tensor shape; None for the other methods."""
        return self.configuration.shape

    @property
    def error(self) -> float | None:
        """The relative Frobenius error of ``error_of``; None if it isn't known."""
        return None if self.errors is None else self.errors.error(self.ranks, self.shape)

    @property
    def error_low(self) -> float | None:
        """The lowest that the error may be: below ``error`` for a bound or an estimate; None if it isn't known."""
        between = None if self.errors is None else self.errors.between(self.ranks, self.shape)
        return None if between is None else between[0]

    @property
    def error_high(self) -> float | None:
        """The highest that the error may be: above ``error`` for an estimate; None if it isn't known."""
        between = None if self.errors is None else self.errors.between(self.ranks, self.shape)
        return None if between is None else between[1]

    @property
    def error_of(self) -> str | None:
        """What the error is measured on: ``weights``, or ``outputs`` on calibration data."""
        return None if self.errors is None else self.errors.of

    @property
    def certainty(self) -> str | None:
        """How certain the error is: ``exact``, a ``bound`` from above, or an ``estimate``."""
        return None if self.errors is None else self.errors.certainty(self.shape)

    @property
    def params(self) -> int:
        """Number of weights of the factors, without biases."""
        return self.cost.params

    @property
    def fm(self) -> int:
        """Elements of all feature maps that the factors produce."""
        return self.cost.fm

    @property
    def flops(self) -> int:
        """2 x multiply-accumulates."""
        return self.cost.flops

    @property
    def memory(self) -> int:
        """Bytes of params and feature maps."""
        return self.value("memory")

    @property
    def latency(self) -> int | None:
        """Picoseconds on a device; None if no device was asked."""
        return self.cost.latency

    def value(self, name: str) -> int:
        """The value of a metric in ``dse.metric.METRICS``. Raises UserError for an unknown one, and for the latency if
        no device was asked."""
        return metric(name, self.bytes_per_element).of(self.cost)

    def reduction(self, name: str) -> float:
        """The saved fraction of the original's value of a metric; negative for growth. Errors as in ``value``."""
        return metric(name).reduction(self.cost, self.original)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: ranks, costs and reductions, latencies if a device was asked."""
        times = {} if self.latency is None else {"latency_ps": self.latency}
        known = METRICS if times else counted()
        return {
            "layer": self.layer,
            "method": self.method,
            "ranks": list(self.ranks),
            "shape": self.shape,
            "params": self.params,
            "fm": self.fm,
            "flops": self.flops,
            "memory_bytes": self.memory,
            **times,
            **{f"{name}{REDUCTION}": self.reduction(name) for name in known},
            "error": self.error,
            "error_low": self.error_low,
            "error_high": self.error_high,
            "error_of": self.error_of,
            "certainty": self.certainty,
        }


@dataclass(frozen=True)
class Summary:
    """The count of configurations in the windows, and those with the fewest and most FLOPs (None if empty)."""

    count: int
    min_flops: Solution | None
    max_flops: Solution | None
