"""How much an error in a layer's weights harms the network, in one unit for all layers and methods.

value ``damage`` (the default): the predicted squared error of the logits (see ``output_metric``); ``energy``: the share
of the energy of the layer's outputs that is lost, as in activation-aware truncation (Wang et al., "SVD-LLM", ICLR
2025); ``uniform``: the share of the weights' energy that is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import prod
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from rankline.src.compress.budget.settings import VALUES
from rankline.src.compress.fit.covariance import Covariance, covariances
from rankline.src.compress.fit.factors import fitted_factors, metric_roots
from rankline.src.compress.fit.fitted_layer import FittedLayer, Reals
from rankline.src.compress.fit.in_threads import in_threads
from rankline.src.compress.fit.output_metric import logit_errors
from rankline.src.compress.fit.products import with_ridge
from rankline.src.compress.fit.refit import FitSettings, rows_wanted
from rankline.src.compress.model.forward_pass import ForwardPass
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import one_of
from rankline.src.dse.progress import Progress, no_progress

PROBE_SAMPLES = 128
PROBE_PASSES = 4096
"""The most samples that a probe passes through the network, over all layers; each takes at least a quarter of
PROBE_SAMPLES."""

PROBED = (0.3, 0.6)
"""The shares of a layer's params at which a probe truncates it."""


@dataclass(frozen=True, eq=False)
class Damage:
    """Measures the error of a layer with weights W' as ``scale`` x tr(G (W - W')^T C (W - W')).

    weights: W (K C, F); covariance: C of its patches; output_metric: G of its outputs. None stands for the identity.
    """

    fitted: FittedLayer
    weights: Reals
    covariance: NDArray[Any] | None
    output_metric: Reals | None
    scale: float

    @cached_property
    def roots(self) -> tuple[Reals, Reals] | None:
        """The root of the output metric and its inverse; None where all outputs count alike."""
        return metric_roots(self.output_metric)

    @cached_property
    def gram(self) -> Reals:
        """W^T C W (F, F)."""
        return self._gram_of(self.weights)

    def scaled(self, scale: float) -> Damage:
        """The same with another scale; what is known of it is kept."""
        other = replace(self, scale=scale)
        other.__dict__.update({name: self.__dict__[name] for name in ("roots", "gram") if name in self.__dict__})
        return other

    @property
    def whole(self) -> float:
        """The damage of all outputs being zero."""
        return self.scale * self._valued(self.gram)

    def truncated(self, rank: int) -> tuple[Reals, float]:
        """W' - W (K C, F) of the truncated SVD W' with the least damage at a rank, and its damage.

        W' = W T projects onto the leading eigenvectors of the outputs' second moment in the output metric, which is far
        smaller than C.
        """
        root, back = self.roots or (np.eye(len(self.gram)),) * 2
        leading = eigh(root @ self.gram @ root, subset_by_index=(len(root) - rank, len(root) - 1))[1]
        turn = root @ leading @ (leading.T @ back) - np.eye(len(root))
        return self.weights @ turn, self.scale * self._valued(turn.T @ self.gram @ turn)

    def of(self, weights: Reals) -> float:
        """The damage of using these weights (K C, F) in place of W."""
        return self.scale * self.energy(self.weights - weights)

    def energy(self, weights: Reals) -> float:
        """tr(G W^T C W)."""
        return self._valued(self._gram_of(weights))

    def _gram_of(self, weights: Reals) -> Reals:
        if self.covariance is None:
            return np.asarray(weights.T @ weights)
        return np.asarray(weights.T @ (self.covariance @ weights.astype(self.covariance.dtype)))

    def _valued(self, gram: Reals) -> float:
        value = np.trace(gram) if self.output_metric is None else np.sum(gram * self.output_metric)
        return max(0.0, float(value))

    def factors(self, choice: Configuration) -> tuple[list[Any], Reals]:
        """The factors of a choice with about the least damage that its method can reach, and their product (K C, F)."""
        return fitted_factors(choice, self.fitted, self.weights, self.covariance, self.roots, rough=True)


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
    shares = _positions(forward, fitted_layers, len(samples[0]))
    seen = covariances(model, [tuple(samples)], paths, shares, seed, progress, single=value == "damage")
    if value == "energy":
        plain = {
            path: Damage(fitted, fitted.raw_kernel(), seen[path].matrix, None, 1.0)
            for path, fitted in fitted_layers.items()
        }
        return {path: _as_share(damage) for path, damage in plain.items()}
    damages, means = {}, {}
    believed: dict[tuple[int, bool], NDArray[Any]] = {}
    for path, fitted in fitted_layers.items():
        one = seen.pop(path)  # the covariances of wide layers are large: the uncentred ones are not kept
        metric = (output_metrics or {})[path]
        damages[path] = Damage(fitted, fitted.kernel(), _believed(fitted, one, believed), metric, 1.0)
        means[path] = one.mean * fitted.is_centred
    count = max(PROBE_SAMPLES // 4, min(PROBE_SAMPLES, PROBE_PASSES // len(paths)))
    return _calibrated(forward, damages, [one[:count] for one in samples], means, progress)


def _positions(forward: ForwardPass, fitted_layers: Mapping[str, FittedLayer], count: int) -> dict[str, float]:
    """The share of each layer's patches that its covariance uses: as many as a fit does."""
    shares = {}
    for path, fitted in fitted_layers.items():
        positions = prod(size or 1 for size in forward.calls[fitted.end].out_shapes[0]) // fitted.weights_shape[1]
        shares[path] = min(1.0, rows_wanted(fitted.weights_shape[0]) / (positions * count))
    return shares


def _as_share(damage: Damage) -> Damage:
    """The damage as a share of the layer's own energy."""
    return damage.scaled(1 / (damage.whole or 1.0))


def _believed(fitted: FittedLayer, seen: Covariance, known: dict[tuple[int, bool], NDArray[Any]]) -> NDArray[Any]:
    """The covariance about the mean if a bias can correct it, else about zero; with the ridge of a fit, so that little
    data isn't taken at its word. known: those that other layers share, by the identity of ``seen``, all of which were
    made before."""
    key = id(seen), fitted.is_centred
    if key not in known:
        known[key] = with_ridge(seen.centred if fitted.is_centred else seen.matrix, FitSettings.ridge)
    return known[key]


def _calibrated(
    forward: ForwardPass,
    damages: Mapping[str, Damage],
    samples: Sequence[NDArray[Any]],
    means: Mapping[str, Reals],
    progress: Progress,
) -> dict[str, Damage]:
    """The damages, scaled by the ratio of measured to predicted errors of the logits at the PROBED ranks; means: of the
    patches, which the bias takes up."""
    made = dict(in_threads(partial(_probes, one) for one in damages.values()))
    probes = {path: made[number] for number, path in enumerate(damages)}
    changes = {path: [(change, -means[path] @ change) for change, _ in some] for path, some in probes.items()}
    measured = logit_errors(forward, samples, changes, progress)
    scaled = {}
    for path, damage in damages.items():
        pairs = zip(measured[path], (predicted for _, predicted in probes[path]), strict=True)
        ratios = [m / p for m, p in pairs if m > 0 and p > 0]
        scaled[path] = damage.scaled(float(np.exp(np.mean(np.log(ratios)))) if ratios else 0.0)
    return scaled


def _probes(damage: Damage) -> list[tuple[Reals, float]]:
    """``Damage.truncated`` at the PROBED ranks."""
    rows, outputs = damage.weights.shape
    ranks = [max(1, min(min(rows, outputs) - 1, round(share * rows * outputs / (rows + outputs)))) for share in PROBED]
    return [damage.truncated(rank) for rank in ranks]
