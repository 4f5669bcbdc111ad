"""The factors of one layer that best preserve its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorly as tl

from rankline.src.compress.fit.fitted_layer import FittedLayer, Reals
from rankline.src.compress.methods import get
from rankline.src.compress.methods.method import Decomposition
from rankline.src.dse.configuration import Configuration


def fitted_factors(
    choice: Configuration | None,
    fitted: FittedLayer,
    weights: Reals,
    covariance: Reals | None,
    output_metric: Reals | None,
    known: Sequence[Any] | None = None,
) -> tuple[list[Any], Reals]:
    """The factors of a choice that best preserve the outputs of ``weights`` (K C, F), and their product (K C, F).

    They minimise tr(G E), with E the covariance of the outputs' error under the patches' ``covariance``. Without a
    choice, the weights themselves are returned. For a method that can't minimise this error, only the last factor
    does; the others are the best for the weights, or ``known`` ones, made for similar weights.
    """
    if choice is None:
        return [weights], weights
    method = get(choice.method)
    shape = tuple(fitted.layer.kernel.shape)
    weighed = output_metric if output_metric is not None and output_metric.any() and method.ends_in_outputs else None
    root, back = (None, None) if weighed is None else metric_roots(weighed)
    turned = weights if root is None else weights @ root
    given = None if covariance is None else tl.tensor(covariance)
    ends_free = given is not None and method.ends_in_outputs and not method.uses_covariance
    if known is not None and ends_free:
        factors = list(known)
    else:
        factors = method.decompose(tl.tensor(turned.reshape(shape)), choice.ranks, choice.shape, "float64", given)
    if covariance is not None and ends_free:
        factors[-1] = _last(method, factors, turned, covariance)
    if back is not None:
        factors[-1] = tl.tensor(tl.to_numpy(factors[-1]) @ back)
    product = np.asarray(tl.to_numpy(method.reconstruct(factors)), np.float64).reshape(weights.shape)
    return factors, product


def _last(method: Decomposition, factors: list[Any], weights: Reals, covariance: Reals) -> Any:
    """The best last factor (r, F), given the others, which were chosen for the weights' error alone."""
    rank = len(factors[-1])
    first = np.asarray(tl.to_numpy(method.reconstruct([*factors[:-1], tl.eye(rank)])), np.float64)
    first = first.reshape(len(weights), rank)
    seen = first.T @ covariance
    return tl.tensor(np.linalg.lstsq(seen @ first, seen @ weights, rcond=None)[0])


def metric_roots(output_metric: Reals) -> tuple[Reals, Reals]:
    """The symmetric square root of an output metric, and its inverse."""
    values, vectors = np.linalg.eigh(output_metric)
    scales = np.sqrt(np.maximum(values, values[-1] * np.finfo(np.float32).eps))
    return vectors * scales @ vectors.T, vectors / scales @ vectors.T
