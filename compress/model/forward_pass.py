"""Passing samples through a network's calls, with control over the outputs of single layers.

The network ends in its logits here: a last softmax or sigmoid is left out, because errors are measured before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras

from rankline.src.compress.fit.fitted_layer import FittedLayer
from rankline.src.dse.keras_model.graph import Call

Values = dict[int, list[Any]]
"""The output tensors of calls, by index."""

Change = Callable[[int, Any], Any]
"""Takes a call that ends a fitted layer and its outputs before any activation; returns the outputs to use instead."""

SQUASHING = (keras.activations.softmax, keras.activations.sigmoid)


def unchanged(end: int, y: Any) -> Any:
    """Leaves the outputs unchanged."""
    return y


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """A network as its calls and the fitted layers among them, by path."""

    calls: Sequence[Call]
    fitted_layers: Mapping[str, FittedLayer]

    @cached_property
    def _at(self) -> dict[int, FittedLayer]:
        """The fitted layers by their calls."""
        return {call: fitted for fitted in self.fitted_layers.values() for call in fitted.calls}

    @cached_property
    def _ends(self) -> set[int]:
        """The calls that end fitted layers."""
        return {end for fitted in self.fitted_layers.values() for end in fitted.ends}

    @cached_property
    def _last(self) -> set[int]:
        """The calls that make an output of the model that no other call takes."""
        used = {source for call in self.calls for source in call.inputs}
        return {index for index, call in enumerate(self.calls) if call.is_output and index not in used}

    def step(self, index: int, given: Sequence[Any], change: Change = unchanged) -> list[Any]:
        """The outputs of one call for the given input tensors."""
        call, fitted = self.calls[index], self._at.get(index)
        if fitted is not None:
            outputs = [fitted.linear(given[0])]
        elif index in self._last and squashes(call.layer):
            return list(given)
        else:
            outputs = call.run(given)
        if index in self._ends:
            outputs = [self.activated(index, change(index, outputs[0]))]
        return outputs

    def run(self, values: Values, indices: Iterable[int], change: Change = unchanged) -> Values:
        """``values`` with the outputs of the calls at the indices, which must be in topological order."""
        for index in indices:
            values[index] = self.step(index, self.given(index, values), change)
        return values

    def given(self, index: int, values: Mapping[int, Sequence[Any]]) -> list[Any]:
        """The inputs of a call."""
        call = self.calls[index]
        return [values[source][output] for source, output in zip(call.inputs, call.sources, strict=True)]

    def start(self, batch: Sequence[Any]) -> Values:
        """The values of the network's inputs, one tensor for each."""
        return {index: [tensor] for index, tensor in zip(self.inputs, batch, strict=True)}

    @property
    def inputs(self) -> list[int]:
        """The network's inputs among the calls."""
        return [index for index, call in enumerate(self.calls) if not call.inputs]

    @property
    def inner(self) -> list[int]:
        """All other calls."""
        return [index for index, call in enumerate(self.calls) if call.inputs]

    def logits(self, values: Mapping[int, Sequence[Any]]) -> list[Any]:
        """The network's outputs, without a last softmax or sigmoid."""
        return [values[index][0] for index, call in enumerate(self.calls) if call.is_output]

    def changed(self, values: Values, outputs: Mapping[int, Any], after: Iterable[int]) -> Values:
        """The values with a layer's ``outputs``, before any activation, replaced, by the calls that end it; after: the
        dependent calls."""
        return self.run(values | {end: [self.activated(end, y)] for end, y in outputs.items()}, after)

    def activated(self, index: int, y: Any) -> Any:
        """A call's outputs after its own layer's activation, if any, except a last softmax or sigmoid."""
        activation = getattr(self.calls[index].layer, "activation", None)
        if activation is None or (index in self._last and activation in SQUASHING):
            return y
        return activation(y)

    def after(self, ends: Sequence[int]) -> list[int]:
        """The calls that depend on some, in order."""
        found = set(ends)
        for later in range(min(ends) + 1, len(self.calls)):
            if found & set(self.calls[later].inputs):
                found.add(later)
        return sorted(found - set(ends))


def squashes(layer: Any) -> bool:
    """Whether a layer is just a softmax or sigmoid."""
    return type(layer) is keras.layers.Softmax or (
        type(layer) is keras.layers.Activation and layer.activation in SQUASHING
    )


def batches_of(samples: Sequence[Any], size: int, calls: Sequence[Call]) -> Iterator[list[Any]]:
    """Batches of at most ``size`` samples: one tensor for each input of the network, of the input's dtype.

    samples: an array for each input.
    """
    types = [call.layer.dtype for call in calls if not call.inputs]
    for start in range(0, len(samples[0]), size):
        yield [
            keras.ops.convert_to_tensor(one[start : start + size], dtype)
            for one, dtype in zip(samples, types, strict=True)
        ]
