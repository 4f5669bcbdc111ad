"""The cost of a model, counted from its layers."""

from __future__ import annotations

import keras

from rankline.src.dse.cost import Cost
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.network_cost import network_cost


def cost_of(model: keras.Model) -> Cost:
    """Params, feature-map elements and FLOPs of one sample through a model."""
    shape = describe(model)
    return network_cost(shape.params, shape.layers)
