"""Model surgery: a new model in which every planned layer is replaced by its chain of factors.

The path of a layer in nested models is "outer/inner/layer".
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import keras
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from rankline.src.compress.methods import get
from rankline.src.compress.methods.factor import Factor
from rankline.src.compress.methods.numerics.tensor import Tensor
from rankline.src.compress.model.planned import planned, refusal_by_class
from rankline.src.compress.model.rebuild import copied, is_graph, leaves, rebuilt
from rankline.src.compress.model.separable import split
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.reader import has_other_weights, has_own_call, stock_class
from rankline.src.dse.progress import Progress, no_progress


def factorize(
    model: keras.Model,
    plan: Mapping[str, Configuration],
    keep: tuple[keras.Model, Mapping[str, Configuration]] | None = None,
    covariances: Mapping[str, NDArray[np.float64]] | None = None,
    known: Mapping[str, Sequence[Tensor]] | None = None,
    progress: Progress = no_progress,
) -> keras.Model:
    """A new model with every layer in ``plan`` replaced by its factors, and all others copied.

    model: a built Functional or Sequential model, nested to any depth; it is not changed and shares no weights with the
        result.
    keep: a model that this function made from ``model``, perhaps fine-tuned since, with its plan. Layers on which both
        plans agree (the same choice, or none) are copied from it; the others are made from ``model``.
    covariances: second moments of layers' input patches, by path (see ``compress.fit.covariance``); methods that can
        use them then minimise the error of these layers' outputs.
    known: ready-made factors of layers, by path.
    progress: called after each decomposed layer.

    Returns a Functional or Sequential model of the same name and nesting, not compiled. A layer used in several places
    is replaced by one chain, used in the same places. A separable convolution whose pointwise part is planned becomes a
    nested model of its depthwise layer and the chain. A factorized output layer gives its output the last factor's
    name. Raises UserError for a model that is not a graph or not built, and for an invalid entry of the plan.
    """
    return _factorized(model, plan, keep, covariances, known or {}, False, progress)[0]


def factorize_and_measure(
    model: keras.Model,
    plan: Mapping[str, Configuration],
    keep: tuple[keras.Model, Mapping[str, Configuration]] | None = None,
    progress: Progress = no_progress,
) -> tuple[keras.Model, dict[str, float]]:
    """As ``factorize``, with the relative Frobenius errors, by path, of the layers decomposed in this call."""
    return _factorized(model, plan, keep, None, {}, True, progress)


def _factorized(
    model: keras.Model,
    plan: Mapping[str, Configuration],
    keep: tuple[keras.Model, Mapping[str, Configuration]] | None,
    covariances: Mapping[str, NDArray[np.float64]] | None,
    known: Mapping[str, Sequence[Tensor]],
    measure: bool,
    progress: Progress,
) -> tuple[keras.Model, dict[str, float]]:
    parts = {*plan, *(covariances or {}), *(keep[1] if keep else {})}
    model, keep = split(model, parts), (split(keep[0], parts), keep[1]) if keep else None
    layers = dict(leaves(model))
    chosen = _by_layer(layers, plan)
    kept_choices = _by_layer(layers, keep[1]) if keep else {}
    moments = {id(_planned(layers, path)): matrix for path, matrix in (covariances or {}).items()}
    chains: dict[int, list[Factor]] = {}
    jobs: dict[int, _Job] = {}
    for path, layer in layers.items():
        choice = chosen.get(id(layer))
        if id(layer) in chains or id(layer) in jobs:
            continue
        if keep and choice == kept_choices.get(id(layer)):
            chains[id(layer)] = _copied_from(keep[0], path, choice)
        elif choice:
            kernel = keras.ops.convert_to_numpy(layer.kernel)
            jobs[id(layer)] = _Job(layer, path, choice, kernel, moments.get(id(layer)), known.get(path), measure)
        else:
            chains[id(layer)] = [copied(layer)]
    decomposed = _decomposed(jobs, progress)
    chains |= {key: chain for key, (chain, _) in decomposed.items()}
    return rebuilt(model, chains), {
        path: decomposed[id(layers[path])][1] for path in plan if id(layers[path]) in decomposed
    }


def factor_names(path: str, choice: Configuration) -> list[str]:
    """The paths that a planned layer's factors can have in the factorized model, in the chain's order.

    A method may omit some of them for some layers; ``factor_chain`` finds those that exist.
    """
    method = get(choice.method)
    return [method.layer_name(path, suffix) for suffix in method.suffixes]


def factor_chain(model: keras.Model, path: str, choice: Configuration) -> list[keras.Layer]:
    """The layers that replace the original layer at ``path`` in the factorized ``model``, first factor first.

    Raises UserError if there are none.
    """
    chain = [layer for name in factor_names(path, choice) if (layer := find_layer(model, name)) is not None]
    if not chain:
        raise UserError(
            f"model '{model.name}' has no {choice.method} factors of layer '{path}'; "
            "give the model that factorize returned, and its plan"
        )
    return chain


def find_layer(model: keras.Model, path: str) -> keras.Layer | None:
    """The layer at a path of the model; None if there is none."""
    layer = model
    for name in path.split("/"):
        inner = layer.layers if layer is not None and is_graph(layer) else []
        layer = next((candidate for candidate in inner if candidate.name == name), None)
    return layer


def refusal(model: keras.Model, path: str) -> str | None:
    """Why the layer that a reader lists at a path of a model cannot be factorized; None if it can.

    Parts of separable convolutions are layers of the model that ``separable.split`` returns.
    """
    layer = find_layer(model, path)
    return "is a part of a layer" if layer is None else refusal_of(layer)


@dataclass(frozen=True)
class _Job:
    """A layer to decompose, and its weights. known: ready-made factors, if any; measure: whether to find the error."""

    layer: keras.Layer
    path: str
    configuration: Configuration
    kernel: NDArray[Any]
    covariance: NDArray[np.float64] | None
    known: Sequence[Tensor] | None
    measure: bool

    def factors(self) -> tuple[list[Tensor], float]:
        """The factors, and the relative error of their product (NaN if it is not measured)."""
        method = get(self.configuration.method)
        if self.known is not None:
            return list(self.known), math.nan
        try:
            one = self.configuration
            found = method.decompose(self.kernel, one.ranks, one.shape, covariance=self.covariance)
        except UserError as error:
            raise UserError(f"layer '{self.path}': {error}") from error
        return found, method.error(self.kernel, found) if self.measure else math.nan


def _decomposed(jobs: Mapping[int, _Job], progress: Progress) -> dict[int, tuple[list[Factor], float]]:
    """The chains of all jobs, with their errors.

    Several jobs run in parallel, each with one BLAS thread, because more threads would be slower.
    """

    def decompose(key: int) -> tuple[int, tuple[list[Tensor], float]]:
        return key, jobs[key].factors()

    found = {}
    progress("layers decomposed", 0, len(jobs))
    with threadpool_limits(1 if len(jobs) > 1 else None):
        threads = min(len(jobs), os.cpu_count() or 1) or 1
        work = joblib.Parallel(n_jobs=threads, prefer="threads", return_as="generator_unordered")
        for done, (key, factors) in enumerate(work(joblib.delayed(decompose)(key) for key in jobs), start=1):
            found[key] = factors
            progress("layers decomposed", done, len(jobs))
    return {
        key: (get(job.configuration.method).factor_layers(job.layer, found[key][0]), found[key][1])
        for key, job in jobs.items()
    }


def _copied_from(previous: keras.Model, path: str, choice: Configuration | None) -> list[Factor]:
    """Copies of the layers that replace a layer with the same choice in the previous model."""
    if choice:
        return [copied(layer) for layer in factor_chain(previous, path, choice)]
    if (layer := find_layer(previous, path)) is None:
        raise UserError(f"keep: model '{previous.name}' has no layer '{path}'; give it with the plan it was made from")
    return [copied(layer)]


def _by_layer(layers: Mapping[str, keras.Layer], plan: Mapping[str, Configuration]) -> dict[int, Configuration]:
    """The plan by the layers' identity: a layer that is shared between models has several paths."""
    choices: dict[int, Configuration] = {}
    for path, choice in plan.items():
        layer = _planned(layers, path)
        if choices.setdefault(id(layer), choice) != choice:
            raise UserError(f"layer '{path}' is shared and planned under another path with another choice; keep one")
    return choices


def _planned(layers: Mapping[str, keras.Layer], path: str) -> keras.Layer:
    """The layer at a path of the plan. Raises UserError where it cannot be factorized."""
    return planned(layers, path, refusal_of)


def refusal_of(layer: keras.Layer) -> str | None:
    """Why a layer cannot be factorized; None where it can."""
    if has_own_call(layer):
        return f"is a {type(layer).__name__}, which has a call of its own"
    if reason := refusal_by_class(stock_class(layer).__name__, getattr(layer, "groups", 1)):
        return reason
    return "is quantized or has LoRA weights" if has_other_weights(layer) else None
