"""How much an error in a layer's outputs harms the network: the Gauss-Newton output metric and a probe to calibrate it.

The squared error of the logits is predicted by alpha tr(G E). E is the covariance of the error of the layer's outputs
at a position; G = E[sum over positions of g g^T], with g the gradient of v . logits with respect to the outputs and v
normal (the Gauss-Newton matrix of the squared error; Martens, "New insights and perspectives on the natural gradient
method", JMLR 21, 2020, section 8); alpha is the measured error over the predicted one, from 1 to 6 in practice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.fit.fitted_layer import FittedLayer, Reals
from rankline.src.compress.model.forward_pass import ForwardPass, batches_of
from rankline.src.compress.model.gradients import gradients
from rankline.src.compress.model.similarity import MAP_BYTES, fitting_batch
from rankline.src.dse.keras_model.graph import Call
from rankline.src.dse.progress import Progress, no_progress

METRIC_SAMPLES = 512
"""Samples that are enough for an output metric."""

MIXED = 0.1
"""The share of an output metric's mean diagonal that is added to its diagonal, so that every output counts."""


def output_metrics(
    forward: ForwardPass,
    samples: Sequence[NDArray[Any]],
    seed: int = 0,
    progress: Progress = no_progress,
) -> dict[str, Reals]:
    """G (F, F) of each layer, by path, from one backward pass; samples: an array for each input of the model.

    v is drawn anew for each sample; the calls of a shared layer add up; MIXED is added. G is zero for a layer that the
    outputs don't depend on. progress: called with the samples that are done.
    """
    rng = np.random.default_rng(seed)
    passed = 0
    fitted_layers = forward.fitted_layers
    ends = {end: fitted for fitted in fitted_layers.values() for end in fitted.ends}
    totals = {path: np.zeros((fitted.layer.kernel.shape[-1],) * 2) for path, fitted in fitted_layers.items()}
    for batch in batches_of(samples, max(1, fitting_batch(forward.calls) // 2), forward.calls):
        weights: list[Any] = []

        def projected(taps: list[Any], batch: list[Any] = batch, weights: list[Any] = weights) -> Any:
            added = dict(zip(ends, taps, strict=True))
            values = forward.run(forward.start(batch), forward.inner, lambda index, y: y + added[index])
            logits = [keras.ops.cast(one, "float32") for one in forward.logits(values)]
            if not weights:
                weights += [keras.ops.convert_to_tensor(rng.normal(size=one.shape), one.dtype) for one in logits]
            return sum(keras.ops.sum(v * one) for v, one in zip(weights, logits, strict=True))

        taps = [
            keras.ops.zeros(forward.calls[end].out_shape(len(batch[0])), fitted.layer.compute_dtype)
            for end, fitted in ends.items()
        ]
        for fitted, found in zip(ends.values(), gradients(projected, taps), strict=True):
            total = totals[fitted.path]
            rows = fitted.outputs(keras.ops.convert_to_numpy(found)).reshape(-1, len(total)).astype(np.float64)
            total += rows.T @ rows
        passed += len(batch[0])
        progress("samples sent back", passed, len(samples[0]))
    return {path: _mixed(total / len(samples[0])) for path, total in totals.items()}


def logit_errors(
    forward: ForwardPass,
    samples: Sequence[NDArray[Any]],
    changes: Mapping[str, Sequence[tuple[Reals, Reals]]],
    progress: Progress = no_progress,
) -> dict[str, list[float]]:
    """The squared change in the logits when a single layer is changed, mean over samples, for each change of each
    layer.

    changes: by path, what is added to a layer's weights (K C, F), BatchNorm's scale included, and to its bias (F,).
    progress: called with the samples that are done, summed over layers.
    """
    probed = 0
    found = {path: [0.0] * len(some) for path, some in changes.items()}
    after = {path: forward.after(forward.fitted_layers[path].ends) for path in changes}
    for batch in batches_of(samples, _holding(forward.calls), forward.calls):
        before: dict[int, Any] = {}

        def noted(end: int, y: Any, before: dict[int, Any] = before) -> Any:
            before[end] = y
            return y

        values = forward.run(forward.start(batch), forward.inner, noted)
        for path, some in changes.items():
            fitted = forward.fitted_layers[path]
            rows = [
                fitted.inputs(keras.ops.convert_to_numpy(forward.given(call, values)[0])).reshape(-1, len(some[0][0]))
                for call in fitted.calls
            ]
            for number, change in enumerate(some):
                outputs = {
                    end: _changed(fitted, before[end], one, *change) for end, one in zip(fitted.ends, rows, strict=True)
                }
                new = forward.changed(values, outputs, after[path])
                found[path][number] += _squared(forward.logits(values), forward.logits(new))
            probed += len(batch[0])
            progress("samples probed", probed, len(samples[0]) * len(changes))
    return {path: [one / len(samples[0]) for one in some] for path, some in found.items()}


def _changed(fitted: FittedLayer, before: Any, rows: NDArray[Any], weights: Reals, bias: Reals) -> Any:
    """A layer's output map after a change; before: the map, rows: the patches of its inputs."""
    y = fitted.outputs(keras.ops.convert_to_numpy(before))
    error = (rows @ weights.astype(rows.dtype) + bias.astype(rows.dtype)).reshape(y.shape)
    return keras.ops.cast(keras.ops.convert_to_tensor(fitted.map_of(y + error)), fitted.layer.compute_dtype)


def _squared(one: Sequence[Any], other: Sequence[Any]) -> float:
    pairs = zip(one, other, strict=True)
    return sum(float(keras.ops.sum(keras.ops.cast(a - b, "float32") ** 2)) for a, b in pairs)


def _holding(calls: Sequence[Call]) -> int:
    """The number of samples whose feature maps, of all calls, fit into MAP_BYTES."""
    elements = sum(call.out_elements for call in calls)
    return max(1, MAP_BYTES // (4 * elements))


def _mixed(total: Reals) -> Reals:
    return np.asarray(total + MIXED * float(np.trace(total)) / len(total) * np.eye(len(total)))
