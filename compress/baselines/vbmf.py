"""Ranks by empirical variational Bayes matrix factorization (VBMF), which needs no data and no parameters.

Nakajima, Sugiyama, Babacan and Tomioka, "Global Analytic Solution of Fully-observed Variational Bayesian Matrix
Factorization", JMLR 14, 2013. As ranks of Tucker-2: Kim et al., "Compression of Deep Convolutional Neural Networks
for Fast and Low Power Mobile Applications", ICLR 2016, section 3.2.
"""

from __future__ import annotations

from collections.abc import Collection
from math import ceil, exp, log

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize_scalar

from rankline.src.compress.model.surgery import find_layer
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.keras_model.reader import read
from rankline.src.dse.layer import Layer
from rankline.src.dse.plan import Plan
from rankline.src.dse.space import Space, spaces_of

GRID = 200
"""Noise variances at which the free energy is evaluated before the search in its lowest basin."""


def vbmf_rank(matrix: ArrayLike) -> int:
    """The number of components of a matrix (L, M) that stand out from noise, 0 if none does.

    With gamma_h the singular values, L <= M, alpha = L / M, and s2 the noise variance of the least free energy,
    it counts gamma_h > sqrt(M s2 (1 + tau) (1 + alpha / tau)), with tau the root of ``_threshold``.
    It is the same for a matrix, its transpose and its multiples. Rows and columns of zeros are left out, because they
    would suggest that there is no noise. Raises UserError if an element is not finite.
    """
    given = np.asarray(matrix, np.float64)
    if given.ndim != 2 or not given.size or not np.isfinite(given).all():
        raise UserError(f"VBMF takes a matrix of finite numbers; got shape {given.shape}")
    living = given[given.any(axis=1)][:, given.any(axis=0)]
    if not living.size:
        return 0
    gamma = np.linalg.svd(living, compute_uv=False)
    # A singular value of exactly zero would have no finite energy at any noise variance.
    energies = np.maximum(gamma / gamma[0], np.finfo(float).eps * max(living.shape)) ** 2
    rows, columns = sorted(living.shape)
    variance = _noise_variance(energies, rows, columns)
    return int((energies > columns * variance * _threshold(rows / columns)).sum())


def vbmf_plan(
    model: keras.Model, layers: Collection[str] | None = None, weaken: float = 1.0
) -> tuple[Plan, dict[str, str]]:
    """VBMF's choice for each layer, and why the other layers are left unchanged.

    Tucker-2 with the ranks of the kernel's unfoldings (C, K F) and (F, K C); SVD for dense layers and 1x1
    convolutions. layers: the paths of the layers to consider, by default all. weaken: from 0, the full ranks R, to 1,
    those of VBMF: r = R - weaken (R - r_VBMF), as MUSCO does (Gusak et al., "Automated Multi-Stage Compression of
    Neural Networks", ICCV Workshops 2019). Ranks are at least 1. A layer that does not get smaller in both params and
    FLOPs is left unchanged. Raises UserError for an unknown layer or ``weaken`` outside 0 to 1.
    """
    if not 0 <= weaken <= 1:
        raise UserError(f"weaken must be a fraction from 0 (full ranks) to 1 (VBMF's ranks); got {weaken}")
    known = {layer.name: layer for layer in read(model)}
    if unknown := [path for path in layers or () if path not in known]:
        raise one_of("layer", unknown[0], list(known))
    plan: Plan = {}
    skipped: dict[str, str] = {}
    for path, layer in known.items():
        if layers is not None and path not in layers:
            continue
        found = find_layer(model, path)
        if layer.kept_because or found is None:
            skipped[path] = layer.kept_because or "a part of a layer is not factorized"
            continue
        choice, space = _choice(layer, keras.ops.convert_to_numpy(found.kernel), weaken)
        cost = space.branches[0].polynomials.cost(choice.ranks)
        if cost.params < space.original.params and cost.flops < space.original.flops:
            plan[path] = choice
        else:
            skipped[path] = f"{choice.method} of ranks {choice.ranks} does not lower both params and FLOPs"
    return plan, skipped


def _choice(layer: Layer, kernel: NDArray[np.float32], weaken: float) -> tuple[Configuration, Space]:
    """Method and ranks for a kernel (K_1, .., K_d, C, F) or (N, M), and their space."""
    method, modes = ("svd", (-1,)) if layer.is_pointwise else ("tucker", (-2, -1))
    (space,) = spaces_of(layer, (method,))
    ranks = []
    for mode, cap in zip(modes, space.branches[0].polynomials.caps, strict=True):
        rank = vbmf_rank(np.moveaxis(kernel, mode, 0).reshape(kernel.shape[mode], -1))
        ranks.append(max(1, round(cap - weaken * (cap - rank))))
    return Configuration(method, tuple(ranks)), space


def _threshold(alpha: float) -> float:
    """The least of gamma_h^2 / (M s2) at which a component is kept: (1 + tau) (1 + alpha / tau).

    tau is the root of phi(tau) + phi(tau / alpha), with phi(z) = log(1 + z) / z - 1/2 (theorem 2; about
    2.5129 sqrt(alpha)).
    """

    def phi(z: float) -> float:
        return log(1 + z) / z - 0.5

    tau = float(brentq(lambda tau: phi(tau) + phi(tau / alpha), 2 * alpha, 3))
    return (1 + tau) * (1 + alpha / tau)


def _noise_variance(energies: NDArray[np.float64], rows: int, columns: int) -> float:
    """The s2 of the least free energy, within the known bounds of its minimum.

    energies: (L,) squared singular values, falling. With H = ceil(L / (1 + alpha)) - 1 it is no less than
    gamma_(H+1)^2 / (M x), x the threshold, and than the mean of gamma_h^2 / M over h > H, and no more than that
    mean over all h.
    """
    alpha = rows / columns
    threshold = _threshold(alpha)
    first = ceil(rows / (1 + alpha)) - 1
    low = log(max(energies[first] / (columns * threshold), energies[first:].mean() / columns))
    high = log(energies.mean() / columns)
    # The free energy has several minima if singular values lie far apart, so the lowest is found on a grid.
    grid = np.linspace(low, max(low, high), GRID)
    best = int(np.argmin([_free_energy(exp(s), energies, columns, alpha, threshold) for s in grid]))
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, GRID - 1)]
    found = minimize_scalar(
        lambda s: _free_energy(exp(s), energies, columns, alpha, threshold), bounds=bounds, method="bounded"
    )
    return exp(float(found.x))


def _free_energy(variance: float, energies: NDArray[np.float64], columns: int, alpha: float, threshold: float) -> float:
    """L times the free energy of a noise variance, up to a constant.

    The sum over h of x_h - log x_h, with x_h = gamma_h^2 / (M s2), plus for every component that is kept
    log(1 + tau_h) + alpha log(1 + tau_h / alpha) - tau_h, where
    tau_h = (x_h - 1 - alpha + sqrt((x_h - 1 - alpha)^2 - 4 alpha)) / 2.
    """
    x = energies / (columns * variance)
    kept = x[x > threshold] - (1 + alpha)
    tau = (kept + np.sqrt(kept**2 - 4 * alpha)) / 2
    gain = np.log1p(tau) + alpha * np.log1p(tau / alpha) - tau
    return float((x - np.log(x)).sum() + gain.sum())
