"""Layers, covariances and metrics for the tests of what is fitted to data."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.fit.fitted_layer import FittedLayer, fitted_layers_of
from rankline.src.dse.keras_model.graph import trace

Reals = NDArray[np.float64]


def unit_of(layer: keras.Layer, size: tuple[int, ...], seed: int = 0) -> FittedLayer:
    """The unit that a layer named "it" is alone in a model, with random weights."""
    model = keras.Sequential([keras.Input(size), type(layer).from_config(layer.get_config())])
    rng = np.random.default_rng(seed)
    model.set_weights([rng.standard_normal(weight.shape) for weight in model.get_weights()])
    return fitted_layers_of(trace(model))["it"]


def decaying(size: int, seed: int, rank: int | None = None, decay: float = 0.6) -> Reals:
    """A covariance (size, size) whose eigenvalues fall by a factor; of lower rank where one is given."""
    rng = np.random.default_rng(seed)
    frame, _ = np.linalg.qr(rng.standard_normal((size, size)))
    values = decay ** np.arange(size) * (np.arange(size) < (rank or size))
    return np.asarray(frame * values @ frame.T)


def objective(error: Reals, covariance: Reals, metric: Reals | None = None) -> float:
    """tr(G E^T C E) of an error E of the weights."""
    gram = error.T @ covariance @ error
    return float(np.trace(gram) if metric is None else np.sum(gram * metric))


def descended(
    factors: Sequence[Reals], value: Callable[[Sequence[Reals]], float], steps: int = 300
) -> tuple[float, list[Reals]]:
    """Where L-BFGS with numeric gradients leads from some factors."""
    from scipy.optimize import minimize

    shapes = [factor.shape for factor in factors]
    ends = np.cumsum([factor.size for factor in factors])[:-1]

    def split(flat: Reals) -> list[Reals]:
        return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]

    found = minimize(
        lambda flat: value(split(flat)), np.concatenate([factor.ravel() for factor in factors]), method="L-BFGS-B",
        options={"maxiter": steps, "maxfun": 10**6, "ftol": 1e-14, "gtol": 1e-12},
    )  # fmt: skip
    return float(found.fun), split(found.x)
