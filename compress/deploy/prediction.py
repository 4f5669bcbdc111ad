"""What a model is predicted to take on a device: each layer, or its chain by a plan, and the whole call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import keras

from rankline.src.compress.layers.operations import own_operations
from rankline.src.compress.methods import get
from rankline.src.compress.model.surgery import factor_names
from rankline.src.dse import methods
from rankline.src.dse.chain import cost_of
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.devices.device import Device
from rankline.src.dse.devices.latency import LatencyModel, UnmeasuredError
from rankline.src.dse.devices.network import layer_latency
from rankline.src.dse.devices.operations import Operation
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.keras_model.graph import Call, InputShape, trace
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.keras_model.rest import rest_of
from rankline.src.dse.layer import Layer
from rankline.src.dse.network_cost import counted_cost
from rankline.src.dse.plan import Plan
from rankline.src.dse.symbols import layer_shape


@dataclass(frozen=True)
class LayerTime:
    """A layer's latency in picoseconds, None where the device has no numbers for it.

    - ``choice``: what its chain is, or is to be; None for a layer as it is
    - ``latency``: of its chain, or of the layer as it is
    - ``original``: of the layer as it is, where a plan is applied to it
    """

    layer: str
    choice: Configuration | None
    latency: int | None
    original: int | None = None


@dataclass(frozen=True)
class Prediction:
    """A call of a model on a device, in picoseconds.

    - ``layers``: in the network's order
    - ``rest``: what the network does beside them
    - ``call``: what any call takes
    - ``beside``: what weights take more beside those of other layers; ``original_beside``: before the plan is applied
    - ``is_planned``: whether a plan is applied to the model, which then has an ``original``
    """

    device: Device
    layers: tuple[LayerTime, ...]
    rest: int
    call: int
    beside: int
    original_beside: int
    is_planned: bool

    @cached_property
    def untimed(self) -> list[str]:
        """The layers that the device can't tell, before or after: they are in no sum."""
        return [
            one.layer for one in self.layers if one.latency is None or (self._is_changed(one) and one.original is None)
        ]

    @property
    def whole(self) -> int:
        """The whole call."""
        return self._sum(one.latency for one in self._timed) + self.beside

    @property
    def original(self) -> int:
        """The whole call of the model before the plan is applied."""
        each = (one.original if self._is_changed(one) else one.latency for one in self._timed)
        return self._sum(each) + self.original_beside

    @property
    def _timed(self) -> list[LayerTime]:
        return [one for one in self.layers if one.layer not in self.untimed]

    def _is_changed(self, one: LayerTime) -> bool:
        return self.is_planned and one.choice is not None

    def _sum(self, times: Iterator[int | None]) -> int:
        return self.call + self.rest + sum(time or 0 for time in times)


def predict(
    model: keras.Model, device: Device, plan: Plan | None = None, input_shape: InputShape | None = None
) -> Prediction:
    """The prediction for a model, of any kind.

    plan: of the model's layers, to which it is applied, or the one that the model was made by: then the factors of each
    of its layers are told as one. ``input_shape``: see ``graph.trace``. Raises UserError for a plan of other layers and
    for a configuration that a layer doesn't have.
    """
    shape, calls, numbers = describe(model, input_shape), trace(model, input_shape), device.model
    times = {layer.name: _as_it_is(numbers, layer, calls) for layer in shape.layers}
    by_name = {layer.name: layer for layer in shape.layers}
    chains = _chains(plan or {}, list(by_name))
    params, found, seen = shape.params, [], set[str]()
    for name in by_name:
        path, factors = chains.get(name, (name, [name]))
        if path in seen:
            continue
        seen.add(path)
        choice = (plan or {}).get(path)
        if choice is not None and factors == [path]:
            params += _added(by_name[path], choice)
            found.append(LayerTime(path, choice, _time(numbers, by_name[path], choice), times[path]))
        else:
            parts = [times[factor] for factor in factors]
            known = [time for time in parts if time is not None]
            found.append(LayerTime(path, choice, sum(known) if len(known) == len(parts) else None))
    return Prediction(
        device,
        tuple(found),
        rest=sum(_polynomial(numbers, [one]) or 0 for one in rest_of(calls)),
        call=numbers.call,
        beside=numbers.beside(params),
        original_beside=numbers.beside(shape.params),
        is_planned=any(path in by_name for path in plan or {}),
    )


def _chains(plan: Plan, names: Sequence[str]) -> Mapping[str, tuple[str, list[str]]]:
    """Of each of the model's layers that the plan is about, its layer of the plan and all that stand for it."""
    found: dict[str, tuple[str, list[str]]] = {}
    for path, choice in plan.items():
        factors = [path] if path in names else [name for name in factor_names(path, choice) if name in names]
        if not factors:
            raise one_of("layer", path, list(names))
        found |= dict.fromkeys(factors, (path, factors))
    return found


def _added(layer: Layer, choice: Configuration) -> int:
    """How many weights a configuration adds to a layer. Raises UserError where the layer has no such configuration."""
    method = methods.get(choice.method)
    if reason := layer.kept_because or method.refuses(layer):
        raise UserError(
            f"layer '{layer.name}' can't be factorized by {choice.method}: {reason}; take it out of the plan"
        )
    try:
        caps = get(choice.method).caps(layer_shape(layer), choice.shape)
    except UserError as error:
        raise UserError(f"layer '{layer.name}': {error}") from error
    if len(choice.ranks) != len(caps) or any(rank > cap for rank, cap in zip(choice.ranks, caps, strict=True)):
        raise UserError(f"layer '{layer.name}': the ranks of {choice.method} are at most {caps}; got {choice.ranks}")
    return cost_of(method.chain(layer, choice.ranks, choice.shape)).params - counted_cost(layer).params


def _as_it_is(numbers: LatencyModel, layer: Layer, calls: Sequence[Call]) -> int | None:
    """The latency of a layer as it is, one of Rankline's own included."""
    own = [one for call in calls if call.path == layer.name for one in _own(call)]
    return _polynomial(numbers, own) if own else _time(numbers, layer, None)


def _time(numbers: LatencyModel, layer: Layer, choice: Configuration | None) -> int | None:
    try:
        return layer_latency(numbers, layer, choice)
    except UnmeasuredError:
        return None


def _own(call: Call) -> list[Operation]:
    sizes = [size or 1 for size in call.in_shapes[0]], [size or 1 for size in call.out_shapes[0]]
    return own_operations(call.layer, call.in_entries[0] or 1, *sizes) if call.inputs else []


def _polynomial(numbers: LatencyModel, operations: Sequence[Operation]) -> int | None:
    try:
        return numbers.polynomial(operations).at(())
    except UnmeasuredError:
        return None
