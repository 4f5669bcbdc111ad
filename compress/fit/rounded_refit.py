"""Fits a network to what is left of it once a runtime has rounded weights and feature maps: no labels, no training.

The closed-form fit of ``refit``, with the network itself as the original: each layer is fitted to its outputs in
floats, from the maps that the rounded layers before it really make, and its weights are then rounded in turn. So each
layer takes up the rounding errors before it, and the noise on its inputs draws its weights away from what cancels.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.fit.fitted_layer import Reals, fitted_layers_of, is_relu
from rankline.src.compress.fit.moments import Moments
from rankline.src.compress.fit.observations import Batches
from rankline.src.compress.fit.refit import FitSettings, Refit, Start
from rankline.src.compress.fit.rounding import range_of, rounded, rounded_by_sample, rounding
from rankline.src.compress.layers.depthwise import DepthwiseAlongAxis
from rankline.src.compress.model.forward_pass import ForwardPass
from rankline.src.compress.model.surgery import factorize, find_layer
from rankline.src.dse.keras_model.graph import trace, users_of
from rankline.src.dse.progress import Progress, no_progress

DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D, DepthwiseAlongAxis)


def refit_rounded(
    model: keras.Model,
    samples: Sequence[NDArray[Any]],
    precision: str = "int8",
    settings: FitSettings | None = None,
    floats: Collection[str] = (),
    progress: Progress = no_progress,
) -> keras.Model:
    """The model with weights that a runtime can store at a precision, one of ``rounding.ROUNDINGS``, fitted to what it
    then makes of the samples.

    - ``samples``: an array for each input of the model, without labels
    - ``floats``: the layers, by path, that stay in floats
    - ``progress``: called after each layer

    Weights of layers other than convolutions, dense and depthwise ones are left to the runtime. Raises UserError as
    ``refit.refit`` does.
    """
    rule = rounding(precision)
    calls = trace(model)
    forward = ForwardPass(calls, fitted_layers_of(calls))
    made = factorize(model, {})
    for call in calls:
        if isinstance(call.layer, DEPTHWISE) and call.path not in floats:
            _round_depthwise(find_layer(made, call.path), rule.weights)
    return _RoundedRefit(forward, Start(made), settings or FitSettings(), precision, floats).run(samples, progress)


def rounded_outputs(model: keras.Model, samples: Sequence[NDArray[Any]], precision: str = "int8") -> list[NDArray[Any]]:
    """What a runtime makes of samples at a precision, simulated: an array for each output, logits in place of a last
    softmax or sigmoid. The model's weights are taken as they are (see ``refit_rounded``)."""
    calls = trace(model)
    forward = ForwardPass(calls, fitted_layers_of(calls))
    fit = _RoundedRefit(forward, Start(model), FitSettings(), precision, (), paths=())
    fit.run(samples, no_progress)
    ends = [index for index, call in enumerate(calls) if call.is_output]
    return [np.concatenate([keras.ops.convert_to_numpy(one[0]) for one in fit.ours[index]]) for index in ends]


class _RoundedRefit(Refit):
    leaves_equal = False

    def __init__(
        self,
        forward: ForwardPass,
        start: Start,
        settings: FitSettings,
        precision: str,
        floats: Collection[str],
        paths: Collection[str] | None = None,
    ) -> None:
        super().__init__(forward, {}, start, {}, settings, paths)
        self.rounding = rounding(precision)
        self.floats = set(floats)
        self.float_layers = {id(call.layer) for call in forward.calls if call.path in self.floats}
        self.users = users_of(forward.calls)

    def stored(self, path: str, product: Reals, found: Moments) -> Reals:
        return product if path in self.floats else self.rounding.weights(product, found.xx)

    def made(self, index: int, maps: Batches) -> Batches:
        """Rounded in the range of all samples, after an activation that the runtime fuses."""
        if not self.rounding.is_static or self.calls[index].path in self.floats or not _are_floats(maps):
            return maps
        call, users = self.calls[index], self.users[index]
        after = self.calls[users[0]].layer if len(users) == 1 and not call.is_output else None
        if type(after) is keras.layers.BatchNormalization and hasattr(call.layer, "kernel"):
            return maps  # folded into the layer: what is rounded comes after it
        ends = range_of([one for batch in maps for one in batch], *_bounds(after))
        low, high = (keras.ops.convert_to_tensor(one, "float32") for one in ends)
        return [[rounded(one, low, high) for one in batch] for batch in maps]

    def taken(self, layer: keras.Layer, x: Any) -> Any:
        """Rounded in each sample's range, by a layer with weights."""
        has_weights = hasattr(layer, "kernel")
        return rounded_by_sample(x) if self.rounding.is_dynamic and has_weights and not self._is_float(layer) else x

    def _is_float(self, layer: keras.Layer) -> bool:
        return id(layer) in self.float_layers


def _bounds(activation: Any) -> tuple[float | None, float | None]:
    """The least and the most that an activation makes, where runtimes fuse it into the layer before."""
    if type(activation) is keras.layers.ReLU and not activation.negative_slope and not activation.threshold:
        return 0.0, activation.max_value
    if type(activation) is keras.layers.Activation and activation.activation is keras.activations.relu6:
        return 0.0, 6.0
    return (0.0, None) if activation is not None and is_relu(activation) else (None, None)


def _are_floats(maps: Batches) -> bool:
    return all(keras.backend.is_float_dtype(one.dtype) for batch in maps for one in batch)


def _round_depthwise(layer: keras.Layer, weights: Any) -> None:
    """Rounds the weights of each channel of a depthwise layer, in place."""
    kernel = np.asarray(keras.ops.convert_to_numpy(layer.kernel), np.float64)
    outputs = kernel.shape[-1] if isinstance(layer, DepthwiseAlongAxis) else int(np.prod(kernel.shape[-2:]))
    layer.kernel.assign(weights(kernel.reshape(-1, outputs), None).reshape(kernel.shape))
