"""A model rebuilt as the same graph, with layers replaced by chains of layers.

The path of a layer in nested models is "outer/inner/layer".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from rankline.src.compress.methods.factor import Factor
from rankline.src.compress.model.duplicate import duplicate
from rankline.src.dse.errors import UserError


def rebuilt(model: keras.Model, chains: Mapping[int, Sequence[Factor]]) -> keras.Model:
    """A new model, not compiled, that connects the replacements of all layers as the originals are connected.

    chains: the replacement of each layer, by the original's identity; a layer that is only copied is a chain of one.
    """
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
    return result


def copied(layer: keras.Layer) -> Factor:
    """A copy of a layer, with its weights."""
    return Factor(duplicate(layer), layer.get_weights())


def leaves(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.Layer]]:
    """Path and layer of all layers that are not models, in the models' order.

    Raises UserError for a model that is not a graph or not built.
    """
    if not is_graph(model):
        raise UserError(
            f"model '{model.name}' is a {type(model).__name__}, whose graph isn't known; "
            "give a Sequential model or keras.Model(inputs, outputs)"
        )
    if not hasattr(model, "inputs"):
        raise UserError(f"model '{prefix}{model.name}' is not built; call it on data, or give it a keras.Input")
    for layer in model.layers:
        if is_graph(layer):
            yield from leaves(layer, f"{prefix}{layer.name}/")
        elif not isinstance(layer, keras.layers.InputLayer):
            yield f"{prefix}{layer.name}", layer


def is_graph(layer: keras.Layer) -> bool:
    """Whether a layer is a Sequential or functional model."""
    return isinstance(layer, keras.Sequential) or (isinstance(layer, keras.Model) and isinstance(layer, keras.Function))


class _Rebuild:
    """Connects the replacements of all layers; see ``rebuilt``."""

    def __init__(self, chains: Mapping[int, Sequence[Factor]]) -> None:
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
        if is_graph(layer):
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
