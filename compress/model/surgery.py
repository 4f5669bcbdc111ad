"""Model surgery: a new model in which every planned layer is replaced by its chain of factors.

The path of a layer in nested models is "outer/inner/layer".
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
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
from rankline.src.compress.model.duplicate import duplicate
from rankline.src.compress.model.planned import CLASSES, planned, refusal_by_class
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError
from rankline.src.dse.progress import Progress, no_progress

FACTORIZED = tuple(getattr(keras.layers, name) for name in CLASSES)


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
    is replaced by one chain, used in the same places. A factorized output layer gives its output the last factor's
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
    layers = dict(_leaves(model))
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
            chains[id(layer)] = [_copied(layer)]
    decomposed = _decomposed(jobs, progress)
    chains |= {key: chain for key, (chain, _) in decomposed.items()}
    result = _Rebuild(chains).model(model)
    for factor in (factor for chain in chains.values() for factor in chain):
        try:
            factor.layer.set_weights(factor.weights)
        except ValueError as error:
            raise UserError(
                f"layer '{factor.layer.name}' cannot be made again: its weights are not those that its class makes, as "
                "after quantize(); give the model as it was before"
            ) from error
        if isinstance(factor.layer, keras.layers.Normalization):
            factor.layer.finalize_state()
    return result, {path: decomposed[id(layers[path])][1] for path in plan if id(layers[path]) in decomposed}


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
        inner = layer.layers if layer is not None and _is_graph(layer) else []
        layer = next((candidate for candidate in inner if candidate.name == name), None)
    return layer


def refusal(model: keras.Model, path: str) -> str | None:
    """Why the layer that a reader lists at a path of a model cannot be factorized; None if it can."""
    layer = find_layer(model, path)
    if layer is None:
        return "is a part of a layer, and only whole layers can be factorized"
    return refusal_of(layer)


class _Rebuild:
    """Connects the replacements of all layers as the originals were connected.

    chains: the replacement of each layer, by the original's identity; a layer that is only copied is a chain of one.
    """

    def __init__(self, chains: Mapping[int, list[Factor]]) -> None:
        self.chains = chains
        self.followers = {id(chain[0].layer): [factor.layer for factor in chain[1:]] for chain in chains.values()}
        self.models: dict[int, keras.Model] = {}

    def model(self, model: keras.Model) -> keras.Model:
        """The new model for an original one, built once."""
        if id(model) not in self.models:
            make = self._sequential if isinstance(model, keras.Sequential) else self._functional
            result = self.models[id(model)] = make(model)
            if not model.trainable:
                result.trainable = False
        return self.models[id(model)]

    def _sequential(self, model: keras.Sequential) -> keras.Sequential:
        layers = _inputs(model)
        for layer in model.layers:
            first = self._replace(layer)
            layers += [first, *self.followers.get(id(first), [])]
        return keras.Sequential(layers, name=model.name)

    def _functional(self, model: keras.Model) -> keras.Model:
        # The same graph without its compile settings, which clone_model would copy, failing on a custom loss.
        graph = keras.Model(model.input, model.output, name=model.name)
        inputs = keras.tree.pack_sequence_as(model.input, [layer.output for layer in _inputs(model)])
        return keras.models.clone_model(
            graph, input_tensors=inputs, clone_function=self._replace, call_function=self._call
        )

    def _replace(self, layer: keras.Layer) -> keras.Layer:
        """The first layer of a replacement; anything that has none is an operation without weights."""
        if _is_graph(layer):
            return self.model(layer)
        return self.chains[id(layer)][0].layer if id(layer) in self.chains else duplicate(layer)

    def _call(self, layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        outputs = layer(*args, **kwargs)
        for follower in self.followers.get(id(layer), []):
            outputs = follower(outputs)
        return outputs


def _inputs(model: keras.Model) -> list[keras.Layer]:
    """Copies of a model's input layers, taken from the graph, since Sequential models hide theirs."""
    graph = keras.Model(model.inputs, model.outputs)
    layers = {id(layer.output): layer for layer in graph.layers if isinstance(layer, keras.layers.InputLayer)}
    return [duplicate(layers[id(tensor)]) for tensor in model.inputs]


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


def _copied(layer: keras.Layer) -> Factor:
    return Factor(duplicate(layer), layer.get_weights())


def _copied_from(previous: keras.Model, path: str, choice: Configuration | None) -> list[Factor]:
    """Copies of the layers that replace a layer with the same choice in the previous model."""
    if choice:
        return [_copied(layer) for layer in factor_chain(previous, path, choice)]
    if (layer := find_layer(previous, path)) is None:
        raise UserError(f"keep: model '{previous.name}' has no layer '{path}'; give it with the plan it was made from")
    return [_copied(layer)]


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
    return planned(layers, path, lambda layer: type(layer).__name__, refusal_of)


def refusal_of(layer: keras.Layer) -> str | None:
    """Why a layer cannot be factorized; None where it can."""
    if reason := refusal_by_class(type(layer).__name__, type(layer) in FACTORIZED, getattr(layer, "groups", 1)):
        return reason
    return f"is quantized ({layer.quantization_mode})" if layer.quantization_mode else None


def _is_graph(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.Sequential) or (isinstance(layer, keras.Model) and isinstance(layer, keras.Function))


def _leaves(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.Layer]]:
    """Path and layer of all layers that are not models, in the models' order."""
    if not _is_graph(model):
        raise UserError(
            f"model '{model.name}' is a {type(model).__name__}, whose graph isn't known; "
            "give a Sequential model or keras.Model(inputs, outputs)"
        )
    if not hasattr(model, "inputs"):
        raise UserError(f"model '{prefix}{model.name}' is not built; call it on data, or give it a keras.Input")
    for layer in model.layers:
        if _is_graph(layer):
            yield from _leaves(layer, f"{prefix}{layer.name}/")
        elif not isinstance(layer, keras.layers.InputLayer):
            yield f"{prefix}{layer.name}", layer
