"""What a precision makes of a layer's options: their bytes in a runtime's file, and the damage of its rounding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorly as tl

from rankline.src.compress.budget.allocate import Option
from rankline.src.compress.budget.damage import Damage
from rankline.src.compress.methods import get
from rankline.src.compress.methods.method import Decomposition
from rankline.src.dse import methods
from rankline.src.dse.chain import Link, whole
from rankline.src.dse.layer import Layer
from rankline.src.dse.precision import F16, F32, INT8, INT8_DYNAMIC, INT8_WEIGHTS, precision_named

OVERHEAD = {
    "litert": {F32.name: (4, 400), F16.name: (4, 600), "integers": (28, 700)},
    "onnx": {F32.name: (4, 300), F16.name: (4, 500), "integers": (14, 1500)},
}
"""Bytes of a file for each output channel (bias, scale, zero point) and each layer, measured on ResNet-20 by several
plans; what a file really takes is measured once it is written."""

ROUNDED = {F32.name: 0.0, F16.name: 1e-7, INT8.name: 2e-4, INT8_DYNAMIC.name: 1.5e-4, INT8_WEIGHTS.name: 8e-5}
"""Energy of the rounding of a map and of the weights that take it, as a share of the energy of the outputs.

A step is 10 of a map's standard deviations by 255, as its range is five on either side, and 4 of a channel's weights'
by 127; the energy of rounding is a twelfth of its square: 1.3e-4 and 8e-5.
"""


@dataclass(frozen=True)
class AtPrecision:
    """A precision (see ``dse.precision``) and the runtime whose file is written."""

    name: str = F32.name
    runtime: str = "litert"

    def stored(self, links: Iterable[Link]) -> int:
        """Bytes of some links in the file."""
        weight = precision_named(self.name).bytes_per_weight
        channel, layer = self._overhead
        return sum(weight * link.params + channel * link.channels + layer for link in links)

    def of_network(self, params: int, layers: Sequence[Layer]) -> int:
        """Bytes of a whole network, whose layers have most of its params."""
        weight = precision_named(self.name).bytes_per_weight
        channel, each = self._overhead
        return weight * params + sum(channel * layer.out_channels + each for layer in layers)

    def applied(self, option: Option, layer: Layer, damage: Damage) -> Option:
        """An option of a layer with its bytes, and with the damage of rounding."""
        choice, factors = option.configuration, option.cost.factors
        if choice is None:
            links = [whole(layer)]
        else:
            links = list(methods.get(choice.method).chain(layer, choice.ranks, choice.shape))
        noise = ROUNDED[self.name]
        if noise and option.factors is not None and choice is not None:
            noise *= 1 + (factors - 1) * amplification(damage, get(choice.method), option.factors)
        else:
            noise *= factors
        cost = replace(option.cost, stored=self.stored(links))
        return replace(option, cost=cost, damage=option.damage + noise * damage.whole)

    @property
    def _overhead(self) -> tuple[int, int]:
        by_precision = OVERHEAD[self.runtime]
        return by_precision.get(self.name, by_precision["integers"])


def amplification(damage: Damage, method: Decomposition, factors: Sequence[Any]) -> float:
    """How much more an error of the map before the last factor counts than one of the same share in the outputs.

    The energies of all channels of that map, each times that of the weights that take it, over the energy of their sum:
    1 where channels are orthogonal, more where they cancel (see ``numerics.stable.growth``).
    """
    if not method.ends_in_outputs:
        return 1.0
    last = np.asarray(tl.to_numpy(factors[-1]), np.float64)
    rank = len(last)
    first = np.asarray(tl.to_numpy(method.reconstruct([*factors[:-1], tl.eye(rank)])), np.float64).reshape(-1, rank)
    seen = first if damage.covariance is None else damage.covariance @ first
    energies = np.einsum("dr,dr->r", first, np.asarray(seen, np.float64))
    taken = last if damage.output_metric is None else last @ damage.output_metric
    parts = float(energies @ np.einsum("rf,rf->r", last, taken))
    summed = damage.energy(first @ last)
    return max(1.0, parts / summed) if summed > 0 else 1.0
