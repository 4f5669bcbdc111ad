"""A Keras model as the flat list of its layers' calls.

Nested models are expanded and shapes are propagated again, so that a backbone made for any size has the sizes it really
gets. The only file that uses private attributes of Keras's layers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

from rankline.src.dse.errors import UserError

Shape = tuple[int | None, ...]
InputShape = Sequence[int] | Sequence[Sequence[int]]

Visit = Callable[[Any, str, Sequence[Any]], list[Any]]
"""Processes a layer's node, given its path and input values; returns the output values."""

Receive = Callable[[int, Sequence[Any], Any], None]
"""Receives a call's index, its input tensors and its first output."""


@dataclass(frozen=True)
class Call:
    """One call of a layer or operation with one sample; a shared layer has several.

    path: the names of the enclosing models and its own, joined by "/";
    inputs: for each input tensor, the index of the call that made it;
    in_shapes, out_shapes: the shapes of the tensors, without the first axis, the batch (None: an undefined size);
    in_entries, out_entries: how many entries of the batch one sample makes there: 1, unless frames, windows or the like
        are folded into the batch (None: undefined);
    is_output: whether it makes an output of the model;
    sources: for each input tensor, which output of that call it is;
    node: Keras's own record of the call (None for an input).
    """

    layer: Any
    path: str
    inputs: tuple[int, ...]
    in_shapes: tuple[Shape, ...]
    out_shapes: tuple[Shape, ...]
    in_entries: Shape
    out_entries: Shape
    is_output: bool = False
    sources: tuple[int, ...] = ()
    node: Any = field(default=None, repr=False, compare=False)

    @property
    def out_elements(self) -> int:
        """The elements of all outputs for one sample; an undefined size counts as 1."""
        outputs = zip(self.out_entries, self.out_shapes, strict=True)
        return sum(prod(size or 1 for size in (entries, *shape)) for entries, shape in outputs)

    def out_shape(self, samples: int) -> Shape:
        """The shape of the first output of a batch of samples, the batch axis included."""
        entries = self.out_entries[0]
        return (None if entries is None else samples * entries, *self.out_shapes[0])

    def run(self, given: Sequence[Any], layer: Any | None = None) -> list[Any]:
        """The outputs for real tensors, one for each input, in inference mode.

        layer: called in place of the call's own layer, with the same arguments.
        """
        return _run(self.node, given, layer)


@dataclass(frozen=True)
class _Tensor:
    """A tensor in the graph: a KerasTensor with its shape, the index of its call, and which output it is."""

    spec: Any
    call: int
    output: int = 0


def trace(model: Any, input_shape: InputShape | None = None) -> list[Call]:
    """The calls of a functional or Sequential model in topological order, its inputs first.

    Shapes are followed from one sample at the inputs, so that what a model folds into the batch is seen.
    ``input_shape`` (one shape, or one per input, without the batch axis) replaces the sizes that the model declares; a
    Sequential model that was never built is built with it.
    Raises UserError for a model without a graph and for a shape that does not fit.
    """
    shapes = None if input_shape is None else as_shapes(input_shape)
    function = _graph_of(model) or _built(model, shapes)
    calls: list[Call] = []
    inputs = []
    for reference, spec in zip(function.inputs, _input_specs(model, function, shapes), strict=True):
        layer = reference._keras_history.operation
        inputs.append(_Tensor(spec, len(calls)))
        calls.append(Call(layer, layer.name, (), (), (tuple(spec.shape[1:]),), (), (1,)))
    batch = max(spec.shape[0] or 1 for spec in function.inputs)  # above 1 in models made for one size of batch

    def entries(specs: Sequence[Any]) -> Shape:
        sizes = (spec.shape[0] if spec.shape else batch for spec in specs)  # a single number is one for each sample
        return tuple(None if size is None else -(-size // batch) for size in sizes)

    def visit(node: Any, path: str, given: Sequence[_Tensor]) -> list[_Tensor]:
        specs = _out_specs(node, path, [tensor.spec for tensor in given])
        calls.append(
            Call(
                layer=node.operation,
                path=path,
                inputs=tuple(tensor.call for tensor in given),
                in_shapes=tuple(tuple(tensor.spec.shape[1:]) for tensor in given),
                out_shapes=tuple(tuple(spec.shape[1:]) for spec in specs),
                in_entries=entries([tensor.spec for tensor in given]),
                out_entries=entries(specs),
                sources=tuple(tensor.output for tensor in given),
                node=node,
            )
        )
        return [_Tensor(spec, len(calls) - 1, output) for output, spec in enumerate(specs)]

    ends = {tensor.call for tensor in _expand(function, "", inputs, visit)}
    return [replace(call, is_output=True) if index in ends else call for index, call in enumerate(calls)]


def feature_maps(model: Any, inputs: Sequence[Any], wanted: Collection[int], receive: Receive) -> None:
    """Runs real ``inputs`` through a built model in inference mode, and passes some calls' feature maps to ``receive``.

    inputs: one batch for each of the model's inputs; wanted: indices into ``trace(model)``. No map is kept here after
    the last call that uses it, so a pass needs ``peak_elements`` at most.
    """
    function = _graph_of(model) or _built(model, None)
    index = len(function.inputs) - 1

    def visit(node: Any, path: str, given: Sequence[Any]) -> list[Any]:
        nonlocal index
        outputs = _run(node, given)
        index += 1
        if index in wanted:
            receive(index, given, outputs[0])
        return outputs

    _expand(function, "", inputs, visit)


def _run(node: Any, given: Sequence[Any], layer: Any | None = None) -> list[Any]:
    """The outputs of a node's operation, or of another, for real tensors in inference mode."""
    import keras

    operation = layer or node.operation
    args, kwargs = node.arguments.fill_in({id(x): value for x, value in zip(node.input_tensors, given, strict=True)})
    if getattr(operation, "_call_has_training_arg", False):
        kwargs["training"] = False
    return list(keras.tree.flatten(operation(*args, **kwargs)))


def places_of(calls: Sequence[Call]) -> dict[int, list[int]]:
    """The indices of each layer's calls, by the layer's identity."""
    places: dict[int, list[int]] = {}
    for index, call in enumerate(calls):
        places.setdefault(id(call.layer), []).append(index)
    return places


def peak_elements(calls: Sequence[Call], order: Sequence[int] | None = None) -> int:
    """The most feature-map elements of one sample that a pass through a model's calls holds at once.

    order: the calls' indices in topological order, if it isn't their own.
    """
    order = range(len(calls)) if order is None else order
    last_use = {source: index for index in order for source in calls[index].inputs}
    sizes = [call.out_elements for call in calls]
    held = peak = 0
    for index in order:
        held += sizes[index]
        peak = max(peak, held)
        done = {*calls[index].inputs, index}
        held -= sum(sizes[source] for source in done if last_use.get(source, source) == index)
    return peak


def reachable_without(calls: Sequence[Call], removed: Collection[int]) -> bool:
    """Whether a path still leads from an input to an output when the calls at those indices are removed."""
    alive: list[bool] = []
    for index, call in enumerate(calls):
        alive.append(index not in removed and (not call.inputs or any(alive[source] for source in call.inputs)))
    return any(reached for call, reached in zip(calls, alive, strict=True) if call.is_output)


def users_of(calls: Sequence[Call]) -> dict[int, list[int]]:
    """The calls that take what each call makes, by index; a call that takes it twice is there twice."""
    users: dict[int, list[int]] = {index: [] for index in range(len(calls))}
    for index, call in enumerate(calls):
        for source in call.inputs:
            users[source].append(index)
    return users


def as_shapes(input_shape: InputShape) -> list[tuple[int, ...]]:
    """One shape or a list of shapes, as a list. Raises UserError unless all sizes are whole numbers above 0."""
    items: list[Any] = list(input_shape)
    shapes = [tuple(item) for item in items] if items and isinstance(items[0], list | tuple) else [tuple(items)]
    if not all(isinstance(size, int) and size > 0 for shape in shapes for size in shape):
        raise UserError(f"input shape {input_shape!r}: sizes must be whole numbers above 0, e.g. 224,224,3")
    return shapes


def _graph_of(operation: Any) -> Any | None:
    """The keras.Function to expand; None for anything with its own call, and for an unbuilt Sequential."""
    import keras
    from keras.src.models.functional import Functional

    call = getattr(type(operation), "call", None)
    if isinstance(operation, keras.Sequential):
        return operation._functional if call is keras.Sequential.call else None
    return operation if call in (keras.Function.call, Functional.call) else None


def _built(model: Any, shapes: list[tuple[int, ...]] | None) -> Any:
    """The graph of a Sequential model, which is built here. Raises UserError if there is no graph."""
    import keras

    if not isinstance(model, keras.Sequential):
        raise UserError(
            f"'{getattr(model, 'name', model)}' is a subclassed model ({type(model).__name__}), whose layers Keras "
            "cannot list; make it functional: x = keras.Input(shape=...), keras.Model(x, model.call(x))"
        )
    if shapes and len(shapes) == 1 and model.layers:
        try:
            model.build((None, *shapes[0]))
        except Exception as error:
            raise UserError(f"model '{model.name}' cannot be built with input shape {shapes[0]}") from error
    function = _graph_of(model)
    if function is None:
        raise UserError(
            f"model '{model.name}' was never built, so its sizes are not known; start it with keras.Input(shape=...), "
            "or pass input_shape (--input-shape 224,224,3)"
        )
    return function


def _input_specs(model: Any, function: Any, shapes: list[tuple[int, ...]] | None) -> list[Any]:
    """A KerasTensor of one sample for each input, with the caller's sizes in place of the declared ones."""
    import keras

    declared = [tuple(x.shape[1:]) for x in function.inputs]
    shapes = declared if shapes is None else shapes
    if [len(shape) for shape in shapes] != [len(shape) for shape in declared]:
        raise UserError(
            f"model '{model.name}' takes {len(declared)} input(s) of shape {', '.join(map(str, declared))}; "
            f"got {', '.join(map(str, shapes))}; give one size for each axis"
        )
    return [
        keras.KerasTensor((x.shape[0] or 1, *shape), dtype=x.dtype)
        for x, shape in zip(function.inputs, shapes, strict=True)
    ]


def _expand(function: Any, prefix: str, inputs: Sequence[Any], visit: Visit) -> list[Any]:
    """Propagates values through a graph, nested models included; returns its outputs. As Keras's _run_through_graph."""
    values = {id(x): value for x, value in zip(function.inputs, inputs, strict=True)}
    # Within one depth Keras keeps nodes in reversed order; the operations are listed as in model.layers.
    order = {id(operation): index for index, operation in enumerate(function.operations)}
    nodes = [
        node
        for depth in sorted(function._nodes_by_depth, reverse=True)
        for node in sorted(function._nodes_by_depth[depth], key=lambda node: order[id(node.operation)])
        if not node.is_input
    ]
    uses = Counter(id(x) for tensors in (*(node.input_tensors for node in nodes), function.outputs) for x in tensors)
    for node in nodes:
        if any(id(x) not in values for x in node.input_tensors):
            continue
        path = prefix + node.operation.name
        if inner := _graph_of(node.operation):
            outputs = _expand(inner, f"{path}/", _inputs_of(node, values), visit)
        else:
            outputs = visit(node, path, [values[id(x)] for x in node.input_tensors])
        values.update({id(x): value for x, value in zip(node.outputs, outputs, strict=True) if uses[id(x)]})
        for x in node.input_tensors:
            uses[id(x)] -= 1
            if not uses[id(x)]:
                del values[id(x)]
    return [values[id(x)] for x in function.outputs]


def _inputs_of(node: Any, values: dict[int, Any]) -> list[Any]:
    """The values that a nested model's call passes to each of its inputs, in the model's order."""
    import keras

    args, kwargs = node.arguments.fill_in(values)
    return list(keras.tree.flatten(args[0] if args else kwargs["inputs"]))


def _out_specs(node: Any, path: str, given: list[Any]) -> list[Any]:
    """The KerasTensors that a node returns for the given ones. Raises UserError if it cannot take them."""
    import keras

    if all(spec.shape == x.shape for x, spec in zip(node.input_tensors, given, strict=True)):
        return list(node.outputs)
    operation = node.operation
    args, kwargs = node.arguments.fill_in({id(x): spec for x, spec in zip(node.input_tensors, given, strict=True)})
    try:
        if args and isinstance(operation, keras.Layer):
            operation._assert_input_compatibility(args[0])
        return list(keras.tree.flatten(operation.compute_output_spec(*args, **kwargs)))
    except Exception as error:
        if all(spec.shape[1:] == x.shape[1:] for x, spec in zip(node.input_tensors, given, strict=True)):
            return _as_declared(node, given)
        shapes = ", ".join(str(tuple(spec.shape[1:])) for spec in given)
        raise UserError(
            f"the input shape does not fit: '{path}' would get {shapes}, which it cannot take; "
            "leave input_shape out, or give the one that the model was made for"
        ) from error


def _as_declared(node: Any, given: list[Any]) -> list[Any]:
    """The outputs as the model declares them, with the batch of the inputs: for what computes no shapes of its own."""
    import keras

    batch = next((x.shape[0] for x in given if x.shape), None)
    return [
        keras.KerasTensor((x.shape[0] or batch, *x.shape[1:]) if x.shape else (), dtype=x.dtype) for x in node.outputs
    ]
