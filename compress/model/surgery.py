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

    model: a built Functional or Sequential model, nested to any depth; it stays as it is and shares no weights
    with the result. keep: a model that this function made of ``model``, perhaps fine-tuned since, with its plan.
    What ``plan`` says as that plan does (the same choice, or nothing) is then taken from there; what it
    changes is made from ``model``. covariances: second moments of layers' input patches, by path (see
    ``compress.covariance``); methods that can use them then minimise the error of these layers' outputs.
    known: factors of layers, by path, that are taken as they are. progress: is told of the layers that are decomposed.
    Returns a Functional or Sequential model of the same name and nesting, not compiled. A layer that is used in
    several places is replaced by one chain, used in the same places. A factorized output layer
    gives its output the last factor's name.
    Raises UserError for a model that is no graph or not built, and for an entry of the plan that is not possible.
    """
    return _factorized(model, plan, keep, covariances, known or {}, False, progress)[0]


def factorize_and_measure(
    model: keras.Model,
    plan: Mapping[str, Configuration],
    keep: tuple[keras.Model, Mapping[str, Configuration]] | None = None,
    progress: Progress = no_progress,
) -> tuple[keras.Model, dict[str, float]]:
    """As ``factorize``; and, by path, the relative Frobenius errors of the layers that were decomposed now."""
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
    settled = _by_layer(layers, keep[1]) if keep else {}
    moments = {id(_planned(layers, path)): matrix for path, matrix in (covariances or {}).items()}
    chains: dict[int, list[Factor]] = {}
    jobs: dict[int, _Job] = {}
    for path, layer in layers.items():
        choice = chosen.get(id(layer))
        if id(layer) in chains or id(layer) in jobs:
            continue
        if keep and choice == settled.get(id(layer)):
            chains[id(layer)] = _taken_over(keep[0], path, choice)
        elif choice:
            kernel = keras.ops.convert_to_numpy(layer.kernel)
            jobs[id(layer)] = _Job(layer, path, choice, kernel, moments.get(id(layer)), known.get(path), measure)
        else:
            chains[id(layer)] = [_copied(layer)]
    decomposed = _decomposed(jobs, progress)
    chains |= {key: chain for key, (chain, _) in decomposed.items()}
    result = _Rebuild(chains).model(model)
    for factor in (factor for chain in chains.values() for factor in chain):
        factor.layer.set_weights(factor.weights)
        if isinstance(factor.layer, keras.layers.Normalization):
            factor.layer.finalize_state()
    return result, {path: decomposed[id(layers[path])][1] for path in plan if id(layers[path]) in decomposed}


def factor_names(path: str, choice: Configuration) -> list[str]:
    """The paths that a planned layer's factors can have in the factorized model, in the chain's order.

    A method may leave out some of them for some layers; ``factor_chain`` finds those that are there.
    """
    method = get(choice.method)
    return [method.layer_name(path, suffix) for suffix in method.suffixes]


def factor_chain(model: keras.Model, path: str, choice: Configuration) -> list[keras.Layer]:
    """The layers that stand in the factorized ``model`` for the original layer at ``path``, first factor first.

    Raises UserError where there are none.
    """
    chain = [layer for name in factor_names(path, choice) if (layer := find_layer(model, name)) is not None]
    if not chain:
        raise UserError(
            f"model '{model.name}' has no {choice.method} factors of layer '{path}'; "
            "give the model that factorize returned, and its plan"
        )
    return chain


def find_layer(model: keras.Model, path: str) -> keras.Layer | None:
    """The layer at a path of the model; None where there is none."""
    layer = model
    for name in path.split("/"):
        inner = layer.layers if layer is not None and _is_graph(layer) else []
        layer = next((candidate for candidate in inner if candidate.name == name), None)
    return layer


def refusal(model: keras.Model, path: str) -> str | None:
    """Why what a reader lists at a path of a model cannot be factorized; None where it can."""
    layer = find_layer(model, path)
    if layer is None:
        return "is a part of a layer, and only whole ones are factorized yet"
    return refusal_of(layer)


class _Rebuild:
    """Puts the replacements of all layers together as the originals were.

    chains: what replaces each layer, by the original's identity; a layer that is only copied is a chain of one.
    """

    def __init__(self, chains: Mapping[int, list[Factor]]) -> None:
        self.chains = chains
        self.followers = {id(chain[0].layer): [factor.layer for factor in chain[1:]] for chain in chains.values()}
        self.models: dict[int, keras.Model] = {}

    def model(self, model: keras.Model) -> keras.Model:
        """The new model for an original one, made once."""
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
        # The same graph without its compile settings, which clone_model would copy, and fail at a custom loss.
        graph = keras.Model(model.input, model.output, name=model.name)
        inputs = keras.tree.pack_sequence_as(model.input, [layer.output for layer in _inputs(model)])
        return keras.models.clone_model(
            graph, input_tensors=inputs, clone_function=self._replace, call_function=self._call
        )

    def _replace(self, layer: keras.Layer) -> keras.Layer:
        """The first layer of a replacement; what isn't in the list of layers is an operation without weights."""
        if _is_graph(layer):
            return self.model(layer)
        return self.chains[id(layer)][0].layer if id(layer) in self.chains else duplicate(layer)

    def _call(self, layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        outputs = layer(*args, **kwargs)
        for follower in self.followers.get(id(layer), []):
            outputs = follower(outputs)
        return outputs


def _inputs(model: keras.Model) -> list[keras.Layer]:
    """Copies of a model's input layers. Sequential models hide theirs, so they are read off the graph."""
    graph = keras.Model(model.inputs, model.outputs)
    layers = {id(layer.output): layer for layer in graph.layers if isinstance(layer, keras.layers.InputLayer)}
    return [duplicate(layers[id(tensor)]) for tensor in model.inputs]


@dataclass(frozen=True)
class _Job:
    """A layer to decompose, with its weights at hand; known: its factors, if they are to be taken as they are;
    measure: whether the error is wanted too."""

    layer: keras.Layer
    path: str
    configuration: Configuration
    kernel: NDArray[Any]
    covariance: NDArray[np.float64] | None
    known: Sequence[Tensor] | None
    measure: bool

    def factors(self) -> tuple[list[Tensor], float]:
        """The factors, and the relative error of their product (NaN where it isn't wanted)."""
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

    Several are worked on side by side, each with one BLAS thread: more would be slower.
    """

    def made(key: int) -> tuple[int, tuple[list[Tensor], float]]:
        return key, jobs[key].factors()

    found = {}
    progress("layers decomposed", 0, len(jobs))
    with threadpool_limits(1 if len(jobs) > 1 else None):
        threads = min(len(jobs), os.cpu_count() or 1) or 1
        work = joblib.Parallel(n_jobs=threads, prefer="threads", return_as="generator_unordered")
        for done, (key, factors) in enumerate(work(joblib.delayed(made)(key) for key in jobs), start=1):
            found[key] = factors
            progress("layers decomposed", done, len(jobs))
    return {
        key: (get(job.configuration.method).factor_layers(job.layer, found[key][0]), found[key][1])
        for key, job in jobs.items()
    }


def _copied(layer: keras.Layer) -> Factor:
    return Factor(duplicate(layer), layer.get_weights())


def _taken_over(previous: keras.Model, path: str, choice: Configuration | None) -> list[Factor]:
    """Copies of what stands in the previous model for a layer whose choice is the same."""
    if choice:
        return [_copied(layer) for layer in factor_chain(previous, path, choice)]
    if (layer := find_layer(previous, path)) is None:
        raise UserError(f"keep: model '{previous.name}' has no layer '{path}'; give it with the plan it was made by")
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
    """Path and layer of all layers that are no models, in the models' order."""
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
