"""The factors of one layer that best preserve its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorly as tl
from numpy.typing import NDArray

from rankline.src.compress.fit.fitted_layer import FittedLayer, Reals
from rankline.src.compress.methods import get
from rankline.src.compress.methods.method import Decomposition
from rankline.src.dse.configuration import Configuration


def fitted_factors(
    choice: Configuration | None,
    fitted: FittedLayer,
    weights: Reals,
    covariance: NDArray[Any] | None,
    roots: tuple[Reals, Reals] | None,
    known: Sequence[Any] | None = None,
    rough: bool = False,
) -> tuple[list[Any], Reals]:
    """The factors of a choice that best preserve the outputs of ``weights`` (K C, F), and their product (K C, F).

    They minimise tr(G E), with E the covariance of the outputs' error under the patches' ``covariance``, and G the
    output metric with these ``roots`` (see ``metric_roots``; None stands for the identity). Without a
    choice, the weights themselves are returned. For a method that can't minimise this error, only the last factor
    does; the others are the best for the weights, or ``known`` ones, made for similar weights. rough: with the
    effort that is enough to compare choices.
    """
    if choice is None:
        return [weights], weights
    method = get(choice.method)
    if rough:
        method = method.rough(weights.size)
    shape = tuple(fitted.layer.kernel.shape)
    root, back = roots if roots is not None and method.ends_in_outputs else (None, None)
    turned = weights if root is None else weights @ root
    ends_free = covariance is not None and method.ends_in_outputs and not method.uses_covariance
    if known is not None and ends_free:
        factors = list(known)
    else:
        factors = method.decompose(tl.tensor(turned.reshape(shape)), choice.ranks, choice.shape, "float64", covariance)
    if covariance is not None and ends_free:
        factors[-1] = _last(method, factors, turned, covariance)
    if back is not None:
        factors[-1] = tl.tensor(tl.to_numpy(factors[-1]) @ back)
    product = np.asarray(tl.to_numpy(method.reconstruct(factors)), np.float64).reshape(weights.shape)
    return factors, product


def _last(method: Decomposition, factors: list[Any], weights: Reals, covariance: NDArray[Any]) -> Any:
    """The best last factor (r, F), given the others, which were chosen for the weights' error alone."""
    rank = len(factors[-1])
    first = np.asarray(tl.to_numpy(method.reconstruct([*factors[:-1], tl.eye(rank)])), np.float64)
    first = first.reshape(len(weights), rank)
    seen = np.asarray(first.T.astype(covariance.dtype) @ covariance, np.float64)
    return tl.tensor(np.linalg.lstsq(seen @ first, seen @ weights, rcond=None)[0])


def metric_roots(output_metric: Reals | None) -> tuple[Reals, Reals] | None:
    """The symmetric square root of an output metric, and its inverse; None without one, and for zero, where nothing
    matters."""
    if output_metric is None or not output_metric.any():
        return None
    values, vectors = np.linalg.eigh(output_metric)
    scales = np.sqrt(np.maximum(values, values[-1] * np.finfo(np.float32).eps))
    return vectors * scales @ vectors.T, vectors / scales @ vectors.T
