"""How much an error in a layer's weights harms the network, in one unit for all layers and methods.

value ``damage`` (the default): the predicted squared error of the logits (see ``output_metric``); ``energy``: the share
of the energy of the layer's outputs that is lost, as in activation-aware truncation (Wang et al., "SVD-LLM", ICLR
2025); ``uniform``: the share of the weights' energy that is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.budget.settings import VALUES
from rankline.src.compress.fit.covariance import Covariance, covariances
from rankline.src.compress.fit.factors import fitted_factors
from rankline.src.compress.fit.fitted_layer import FittedLayer, Reals
from rankline.src.compress.fit.output_metric import logit_errors
from rankline.src.compress.fit.refit import rows_wanted
from rankline.src.compress.model.forward_pass import ForwardPass
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import one_of
from rankline.src.dse.progress import Progress, no_progress

PROBE_SAMPLES = 128

PROBED = (0.3, 0.6)
"""The shares of a layer's params at which a probe truncates it."""


@dataclass(frozen=True, eq=False)
class Damage:
    """Measures the error of a layer with weights W' as ``scale`` x tr(G (W - W')^T C (W - W')).

    weights: W (K C, F); covariance: C of its patches; output_metric: G of its outputs. None stands for the identity.
    """

    fitted: FittedLayer
    weights: Reals
    covariance: Reals | None
    output_metric: Reals | None
    scale: float

    def of(self, weights: Reals) -> float:
        """The damage of using these weights (K C, F) in place of W."""
        return self.scale * self.energy(self.weights - weights)

    def energy(self, weights: Reals) -> float:
        """tr(G W^T C W)."""
        seen = weights if self.covariance is None else self.covariance @ weights
        gram = weights.T @ seen
        return max(0.0, float(np.trace(gram) if self.output_metric is None else np.sum(gram * self.output_metric)))

    def factors(self, choice: Configuration) -> tuple[list[Any], Reals]:
        """The factors of a choice with the least damage that its method can reach, and their product (K C, F)."""
        return fitted_factors(choice, self.fitted, self.weights, self.covariance, self.output_metric)


def damages_of(
    model: keras.Model,
    forward: ForwardPass,
    paths: Sequence[str],
    samples: Sequence[NDArray[Any]] = (),
    value: str = "damage",
    output_metrics: Mapping[str, Reals] | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> dict[str, Damage]:
    """The damage of each layer in ``paths``, by path, under a value function (one of VALUES).

    samples: an array for each input of the model (not needed for ``uniform``); output_metrics: G of each layer (needed
    for ``damage``); progress: called with the batches and then the probed samples that are done.
    """
    if value not in VALUES:
        raise one_of("value", value, list(VALUES))
    fitted_layers = {path: forward.fitted_layers[path] for path in paths}
    if value == "uniform":
        return {
            path: _as_share(Damage(fitted, fitted.raw_kernel(), None, None, 1.0))
            for path, fitted in fitted_layers.items()
        }
    seen = covariances(
        model, [tuple(samples)], paths, _positions(forward, fitted_layers, len(samples[0])), seed, progress
    )
    if value == "energy":
        plain = {
            path: Damage(fitted, fitted.raw_kernel(), seen[path].matrix, None, 1.0)
            for path, fitted in fitted_layers.items()
        }
        return {path: _as_share(damage) for path, damage in plain.items()}
    damages = {
        path: Damage(fitted, fitted.kernel(), _covariance(fitted, seen[path]), (output_metrics or {})[path], 1.0)
        for path, fitted in fitted_layers.items()
    }
    return _calibrated(forward, damages, [one[:PROBE_SAMPLES] for one in samples], seen, progress)


def _positions(forward: ForwardPass, fitted_layers: Mapping[str, FittedLayer], count: int) -> dict[str, float]:
    """The share of each layer's patches that its covariance uses: as many as a fit does."""
    shares = {}
    for path, fitted in fitted_layers.items():
        shapes = [forward.calls[end].out_shapes[0] for end in fitted.ends]
        positions = sum(prod(size or 1 for size in shape) for shape in shapes) // fitted.weights_shape[1]
        shares[path] = min(1.0, rows_wanted(fitted.weights_shape[0]) / (positions * count))
    return shares


def _as_share(damage: Damage) -> Damage:
    """The damage as a share of the layer's own energy."""
    return replace(damage, scale=1 / (damage.energy(damage.weights) or 1.0))


def _covariance(fitted: FittedLayer, seen: Covariance) -> Reals:
    """The covariance about the mean if a bias can correct it, else about zero."""
    return seen.centred if fitted.is_centred else seen.matrix


def _calibrated(
    forward: ForwardPass,
    damages: Mapping[str, Damage],
    samples: Sequence[NDArray[Any]],
    seen: Mapping[str, Covariance],
    progress: Progress,
) -> dict[str, Damage]:
    """The damages, scaled by the ratio of measured to predicted errors of the logits at the PROBED ranks."""
    changes: dict[str, list[tuple[Reals, Reals]]] = {}
    for path, damage in damages.items():
        rows, outputs = damage.weights.shape
        changes[path] = []
        for share in PROBED:
            rank = max(1, min(min(rows, outputs) - 1, round(share * rows * outputs / (rows + outputs))))
            change = damage.factors(Configuration("svd", (rank,)))[1] - damage.weights
            mean = seen[path].mean if damage.fitted.is_centred else np.zeros(rows)
            changes[path].append((change, -mean @ change))
    measured = logit_errors(forward, samples, changes, progress)
    scaled = {}
    for path, damage in damages.items():
        predicted = [damage.energy(change) for change, _ in changes[path]]
        ratios = [m / p for m, p in zip(measured[path], predicted, strict=True) if m > 0 and p > 0]
        scaled[path] = replace(damage, scale=float(np.exp(np.mean(np.log(ratios)))) if ratios else 0.0)
    return scaled
