"""What a precision makes of a layer's options: their bytes in a runtime's file, and the damage of its rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorly as tl

from rankline.src.compress.budget.allocate import Option
from rankline.src.compress.budget.damage import Damage
from rankline.src.compress.deploy import runtimes
from rankline.src.compress.deploy.chains import TILE
from rankline.src.compress.fit.rounding import rounded_as
from rankline.src.compress.methods import get
from rankline.src.compress.methods.method import Decomposition
from rankline.src.dse import methods
from rankline.src.dse.chain import Link, whole
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.layer import Layer
from rankline.src.dse.precision import F16, F32, INT8, INT8_DYNAMIC, INT8_WEIGHTS, precision_named

OVERHEAD = {
    ("litert", F32.name): (7, 124, 3963),
    ("litert", F16.name): (7, 177, 3840),
    ("litert", INT8.name): (14, 226, 4443),
    ("litert", INT8_DYNAMIC.name): (11, 127, 4539),
    ("litert", INT8_WEIGHTS.name): (11, 189, 4750),
    ("onnx", F32.name): (0, 28, 8031),
    ("onnx", F16.name): (0, 129, 5669),
    ("onnx", INT8.name): (8, 275, 12411),
    ("onnx", INT8_DYNAMIC.name): (4, 205, 5222),
    ("onnx", INT8_WEIGHTS.name): (4, 205, 4868),
}
"""Bytes of a file beside the weights: for each output channel (bias, scale, zero point), for each layer, and for the
whole. Fitted to the files of ResNet-20 and of four plans of it, within 400 bytes (2,000 for ``onnx`` in floats); what a
file really takes is measured once it is written."""

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

    def stored(self, layer: Layer, choice: Configuration | None) -> int:
        """Bytes of a layer in the file, or of the chain that replaces it."""
        weight = precision_named(self.name).bytes_per_weight
        channel, each, _ = OVERHEAD[self.runtime, self.name]
        return sum(weight * link.params + channel * link.channels + each for link in self._links(layer, choice))

    def of_layer(self, params: int, layer: Layer) -> int:
        """Bytes of a layer as it is."""
        channel, each, _ = OVERHEAD[self.runtime, self.name]
        return precision_named(self.name).bytes_per_weight * params + channel * layer.out_channels + each

    def of_network(self, params: int, layers: Sequence[Layer]) -> int:
        """Bytes of a whole network, whose layers have most of its params."""
        *_, rest = OVERHEAD[self.runtime, self.name]
        weight = precision_named(self.name).bytes_per_weight
        return weight * params + sum(self.of_layer(0, layer) for layer in layers) + rest

    def applied(self, option: Option, layer: Layer, damage: Damage) -> Option:
        """An option of a layer with its bytes, and with the damage of rounding."""
        return replace(
            option,
            cost=replace(option.cost, stored=self.stored(layer, option.configuration)),
            damage=self._rounded(option, damage),
        )

    def _rounded(self, option: Option, damage: Damage) -> float:
        """The damage of an option once weights and maps are rounded: each factor adds a share of the outputs' energy,
        and more where its inputs cancel."""
        noise, factors, choice = ROUNDED[rounded_as(self.runtime, self.name)], option.cost.factors, option.configuration
        if not noise:
            return option.damage
        if option.factors is None or choice is None or not get(choice.method).ends_in_outputs:
            return option.damage + factors * noise * damage.whole
        left = damage_of_noisy(damage, get(choice.method), option.factors, (factors - 1) * noise)
        return max(option.damage, left) + noise * damage.whole

    def _links(self, layer: Layer, choice: Configuration | None) -> list[Link]:
        """What is written: ranks of convolutions are padded for a runtime that works in blocks of channels."""
        if choice is None:
            return [whole(layer)]
        ranks = choice.ranks
        if runtimes.get(self.runtime).pads and layer.dimensions:
            ranks = tuple(-(-rank // TILE) * TILE for rank in ranks)
        return list(methods.get(choice.method).chain(layer, ranks, choice.shape))


def damage_of_noisy(damage: Damage, method: Decomposition, factors: Sequence[Any], noise: float) -> float:
    """The least damage that any last factor does where the map before it is noisy, given the other factors.

    noise: the energy of the noise in each channel of that map, as a share of the channel's. Where terms cancel, the
    best last factor keeps less of them: a ridge regression, as that of the fit to rounded maps.
    """
    rank = len(factors[-1])
    first = np.asarray(tl.to_numpy(method.reconstruct([*factors[:-1], tl.eye(rank)])), np.float64).reshape(-1, rank)
    seen = first if damage.covariance is None else np.asarray(damage.covariance @ first, np.float64)
    gram, explained = first.T @ seen, seen.T @ damage.weights
    noisy = gram + np.diag(noise * np.diag(gram))
    last = np.linalg.lstsq(noisy, explained, rcond=None)[0]
    kept = explained.T @ last
    value = np.trace(kept) if damage.output_metric is None else np.sum(kept * damage.output_metric)
    return max(0.0, damage.whole - damage.scale * float(value))
