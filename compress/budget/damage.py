"""What an error of a layer's weights is worth to the network, in one unit for all layers and methods.

value ``damage`` (the default): the predicted squared error of the logits (see ``sensitivity``); ``energy``: the share
of the energy of the layer's outputs that is lost, as activation-aware truncation has it (Wang et al., "SVD-LLM", ICLR
2025); ``uniform``: the share of the weights' that is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.fit.covariance import Covariance, covariances
from rankline.src.compress.fit.factors import fitted_factors
from rankline.src.compress.fit.fitted_layer import FittedLayer, Reals
from rankline.src.compress.fit.output_metric import logit_errors
from rankline.src.compress.fit.refit import rows_wanted
from rankline.src.compress.model.forward_pass import ForwardPass
from rankline.src.dse.errors import one_of
from rankline.src.dse.plan import Choice
from rankline.src.dse.progress import Progress, no_progress

VALUES = ("damage", "energy", "uniform")

PROBE_SAMPLES = 128

PROBED = (0.3, 0.6)
"""The shares of a layer's params at which a probe truncates it."""


@dataclass(frozen=True, eq=False)
class Damage:
    """What an error of a layer is measured by: ``scale`` x tr(G (W - W')^T C (W - W')).

    weights: W (K C, F); covariance: C of its patches, the identity without; metric: G of its outputs, the identity
    without.
    """

    unit: FittedLayer
    weights: Reals
    covariance: Reals | None
    metric: Reals | None
    scale: float

    def damage(self, weights: Reals) -> float:
        """That of other weights (K C, F) in the place of W."""
        return self.scale * self.energy(self.weights - weights)

    def energy(self, weights: Reals) -> float:
        """tr(G W^T C W)."""
        seen = weights if self.covariance is None else self.covariance @ weights
        gram = weights.T @ seen
        return max(0.0, float(np.trace(gram) if self.metric is None else np.sum(gram * self.metric)))

    def factors(self, choice: Choice) -> tuple[list[Any], Reals]:
        """The factors of a choice that do the least damage, as far as its method can, and their product (K C, F)."""
        return fitted_factors(choice, self.unit, self.weights, self.covariance, self.metric)


def damages_of(
    model: keras.Model,
    passage: ForwardPass,
    paths: Sequence[str],
    samples: Sequence[NDArray[Any]] = (),
    value: str = "damage",
    metrics: Mapping[str, Reals] | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> dict[str, Damage]:
    """The stake of each of some units, by path, under a value function (one of VALUES).

    samples: an array for each input of the model (not needed for ``uniform``); metrics: G of each unit's outputs
    (needed for ``damage``); progress: is told of the batches that were looked at, and of the samples that were probed.
    """
    if value not in VALUES:
        raise one_of("value", value, list(VALUES))
    units = {path: passage.units[path] for path in paths}
    if value == "uniform":
        return {path: _as_share(Damage(unit, unit.raw_kernel(), None, None, 1.0)) for path, unit in units.items()}
    seen = covariances(model, [tuple(samples)], paths, _positions(passage, units, len(samples[0])), seed, progress)
    if value == "energy":
        plain = {path: Damage(unit, unit.raw_kernel(), seen[path].matrix, None, 1.0) for path, unit in units.items()}
        return {path: _as_share(stake) for path, stake in plain.items()}
    stakes = {
        path: Damage(unit, unit.kernel(), _covariance(unit, seen[path]), (metrics or {})[path], 1.0)
        for path, unit in units.items()
    }
    return _calibrated(passage, stakes, [one[:PROBE_SAMPLES] for one in samples], seen, progress)


def _positions(passage: ForwardPass, units: Mapping[str, FittedLayer], count: int) -> dict[str, float]:
    """The share of each unit's patches that its covariance is taken from: as many as a fit looks at."""
    shares = {}
    for path, unit in units.items():
        positions = prod(size or 1 for size in passage.calls[unit.end].out_shapes[0]) // unit.weights_shape[1]
        shares[path] = min(1.0, rows_wanted(unit.weights_shape[0]) / (positions * count))
    return shares


def _as_share(stake: Damage) -> Damage:
    """Damages as shares of the layer's own energy."""
    return replace(stake, scale=1 / (stake.energy(stake.weights) or 1.0))


def _covariance(unit: FittedLayer, seen: Covariance) -> Reals:
    """About the mean where a bias can mend it."""
    return seen.centred if unit.is_centred else seen.matrix


def _calibrated(
    passage: ForwardPass,
    stakes: Mapping[str, Damage],
    samples: Sequence[NDArray[Any]],
    seen: Mapping[str, Covariance],
    progress: Progress,
) -> dict[str, Damage]:
    """The stakes scaled by what errors of the logits were measured against those predicted, at the PROBED ranks."""
    changes: dict[str, list[tuple[Reals, Reals]]] = {}
    for path, stake in stakes.items():
        rows, outputs = stake.weights.shape
        changes[path] = []
        for share in PROBED:
            rank = max(1, min(min(rows, outputs) - 1, round(share * rows * outputs / (rows + outputs))))
            change = stake.factors(Choice("svd", (rank,)))[1] - stake.weights
            mean = seen[path].mean if stake.unit.is_centred else np.zeros(rows)
            changes[path].append((change, -mean @ change))
    measured = logit_errors(passage, samples, changes, progress)
    scaled = {}
    for path, stake in stakes.items():
        predicted = [stake.energy(change) for change, _ in changes[path]]
        ratios = [m / p for m, p in zip(measured[path], predicted, strict=True) if m > 0 and p > 0]
        scaled[path] = replace(stake, scale=float(np.exp(np.mean(np.log(ratios)))) if ratios else 0.0)
    return scaled
