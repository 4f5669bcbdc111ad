"""Factorizing by hand: applies a plan to a model and reports savings and errors, layer by layer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import keras

from rankline.src.compress.model.growth import growths
from rankline.src.compress.model.surgery import factor_names, factorize_and_measure
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost, total
from rankline.src.dse.keras_model.graph import InputShape
from rankline.src.dse.keras_model.reader import ModelShape, describe
from rankline.src.dse.network_cost import counted_cost, network_cost, uncounted
from rankline.src.dse.progress import Progress, no_progress


@dataclass(frozen=True)
class FactorizedLayer:
    """A layer's choice, its original cost and that of its factors, and the relative error of their product; growth: of
    CP's terms (see ``stable.growth``), None for other methods."""

    layer: str
    configuration: Configuration
    before: Cost
    after: Cost
    error: float
    growth: float | None = None


@dataclass(frozen=True)
class Factorization:
    """The factorized model, its layers, and the whole model's cost; ``uncounted``: layers with unknown FLOPs."""

    model: keras.Model
    layers: tuple[FactorizedLayer, ...]
    before: Cost
    after: Cost
    uncounted: tuple[str, ...]


def factorize_by_hand(
    model: keras.Model,
    plan: Mapping[str, Configuration],
    input_shape: InputShape | None = None,
    progress: Progress = no_progress,
) -> Factorization:
    """Applies a plan, without training. ``input_shape``: see ``graph.trace``; progress: see ``factorize``.

    Raises UserError for a layer that doesn't exist or can't be factorized, a method that doesn't apply to it, and ranks
    outside its caps.
    """
    factorized, errors = factorize_and_measure(model, plan, progress=progress)
    grown = growths(factorized, plan)
    before, after = describe(model, input_shape), describe(factorized, input_shape)
    return Factorization(
        model=factorized,
        layers=tuple(
            FactorizedLayer(
                layer=path,
                configuration=choice,
                before=_cost(before, [path]),
                after=_cost(after, factor_names(path, choice)),
                error=errors[path],
                growth=grown.get(path),
            )
            for path, choice in plan.items()
        ),
        before=network_cost(before.params, before.layers),
        after=network_cost(after.params, after.layers),
        uncounted=tuple(uncounted(after.layers)),
    )


def _cost(shape: ModelShape, paths: Collection[str]) -> Cost:
    """The total cost of some layers, as far as known; params without biases."""
    return total(counted_cost(layer) for layer in shape.layers if layer.name in paths)
