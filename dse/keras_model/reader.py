"""The layers of a Keras model: those that can be factorized, and those that are kept, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

from rankline.src.dse.devices.operations import Operation
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.graph import Call, InputShape, Shape, places_of, reachable_without, trace
from rankline.src.dse.keras_model.rest import rest_of
from rankline.src.dse.layer import Layer, layer_from

if TYPE_CHECKING:
    import keras

KEPT_BECAUSE = {
    "Embedding": "an embedding is a table look-up and is kept as it is",
    "EinsumDense": "an EinsumDense may be any contraction and is kept as it is",
    "TimeDistributed": "a TimeDistributed wrapper is kept as it is; call a Dense on the token axis directly instead",
    **dict.fromkeys(("MultiHeadAttention", "GroupedQueryAttention"), "attention is kept as it is"),
    **dict.fromkeys(
        ("RNN", "SimpleRNN", "LSTM", "GRU", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"),
        "a recurrent layer is kept as it is",
    ),
}


@dataclass(frozen=True)
class ModelShape:
    """A network as numbers.

    input_shape: one shape per input, without the batch axis (empty for a network without a Keras model);
    params: number of all weights;
    layers: those that can be factorized and those that are kept with a reason;
    rest: what it does beside them (empty for a network without a Keras model).
    """

    name: str
    input_shape: tuple[Shape, ...]
    params: int
    layers: tuple[Layer, ...]
    rest: tuple[Operation, ...] = ()


def read(model: keras.Model, input_shape: InputShape | None = None) -> list[Layer]:
    """One Layer for each layer with a kernel (two for a separable convolution), in order of first call.

    ``input_shape``: see ``graph.trace``. Raises UserError for a model without a graph and for undefined sizes.
    """
    return _layers_in(trace(model, input_shape))


def describe(model: keras.Model, input_shape: InputShape | None = None) -> ModelShape:
    """The model's name, input shapes, number of weights, layers, and the rest. Raises UserError as ``read`` does."""
    calls = trace(model, input_shape)
    return ModelShape(
        name=str(model.name),
        input_shape=tuple(call.out_shapes[0] for call in calls if not call.inputs),
        params=int(model.count_params()),
        layers=tuple(_layers_in(calls)),
        rest=tuple(rest_of(calls)),
    )


def _layers_in(calls: Sequence[Call]) -> list[Layer]:
    layers = []
    for indices in places_of(calls).values():
        if not _matrix_params(calls[indices[0]].layer):
            continue
        sequential = not reachable_without(calls, set(indices))
        layers += [replace(layer, sequential=sequential) for layer in _read([calls[i] for i in indices])]
    return layers


def _matrix_params(layer: Any) -> int:
    """Number of elements of the weights with two or more axes."""
    return sum(prod(weight.shape) for weight in getattr(layer, "weights", ()) if len(weight.shape) >= 2)


def _read(uses: list[Call]) -> list[Layer]:
    """The entries of one layer, from all its calls."""
    layer = uses[0].layer
    if hasattr(layer, "feature_map_elements"):
        return [_read_counting(uses)]
    if has_own_call(layer):
        return [_kept(uses, f"{type(layer).__name__} has a call of its own and is kept as it is")]
    if has_other_weights(layer):
        return [_kept(uses, "a quantized layer or one with LoRA is kept as it is")]
    return READERS.get(stock_class(layer).__name__, _read_other)(uses)


def stock_class(layer: Any) -> type:
    """The Keras class of a layer, or the one that its class derives from."""
    return next(c for c in type(layer).__mro__ if c.__module__.partition(".")[0] == "keras")


def has_own_call(layer: Any) -> bool:
    """Whether a layer computes something else than the Keras class that its class derives from."""
    own, stock = type(layer), stock_class(layer)
    return any(
        getattr(own, name, None) is not getattr(stock, name, None) for name in ("call", "convolution_op", "kernel")
    )


def has_other_weights(layer: Any) -> bool:
    """Whether a layer's weights are quantized or have LoRA, so that they are not its kernel alone."""
    return bool(getattr(layer, "quantization_mode", None) or getattr(layer, "lora_enabled", False))


def _read_dense(uses: list[Call]) -> list[Layer]:
    inputs, outputs = uses[0].layer.kernel.shape
    positions = sum(_entries(use) * prod(_defined(use, use.in_shapes[0][:-1])) for use in uses)
    entry = {"name": uses[0].path, "kind": "dense", "in_channels": inputs, "out_channels": outputs}
    return [layer_from({**entry, "positions": positions})]


def _read_conv(uses: list[Call]) -> list[Layer]:
    groups = uses[0].layer.groups
    if groups > 1:
        return [_kept_conv(uses, f"a grouped convolution (groups {groups}) is kept as it is", groups=groups)]
    if not _one_size(uses):
        return [_kept_conv(uses, "a convolution that is called at several sizes is kept as it is")]
    entry = {"name": uses[0].path, "kind": "conv", **_geometry(uses[0]), "positions": sum(map(_entries, uses))}
    return [layer_from(entry)]


def _read_depthwise(uses: list[Call]) -> list[Layer]:
    return [_kept_conv(uses, "a depthwise convolution is kept as it is")]


def _read_transposed(uses: list[Call]) -> list[Layer]:
    positions = sum(_entries(use) * prod(_geometry(use)["in_size"]) for use in uses)
    layer = _kept_conv(uses, "a transposed convolution is kept as it is")
    return [replace(layer, kept_macs=positions * _matrix_params(uses[0].layer))]


def _read_separable(uses: list[Call]) -> list[Layer]:
    layer, path = uses[0].layer, uses[0].path
    channels, outputs = layer.pointwise_kernel.shape[-2:]
    params = prod(layer.depthwise_kernel.shape)
    positions = sum(_entries(use) * prod(_geometry(use)["out_size"]) for use in uses)
    depthwise = replace(
        _kept_conv(uses, "the depthwise part of a separable convolution is kept as it is"),
        name=f"{path}/depthwise", out_channels=channels,
        kept_params=params, kept_fm=positions * channels, kept_macs=positions * params,
    )  # fmt: skip
    size = _geometry(uses[0])["out_size"]
    one = (1,) * len(size)
    pointwise = Layer(
        name=f"{path}/pointwise", kind="conv", kernel=one, in_channels=channels, out_channels=outputs,
        in_size=size, out_size=size, strides=one, dilation=one, positions=sum(map(_entries, uses)),
    )  # fmt: skip
    if _one_size(uses):
        return [depthwise, pointwise]
    kept = replace(
        pointwise,
        kind=depthwise.kind,
        positions=1,
        kept_because="a convolution that is called at several sizes is kept as it is",
        kept_params=channels * outputs,
        kept_fm=positions * outputs,
        kept_macs=positions * channels * outputs,
    )
    return [depthwise, kept]


def _read_counting(uses: list[Call]) -> Layer:
    """A factor without a stock Keras layer: it computes its cost for one sample from its input and output shape."""
    layer = uses[0].layer
    shapes = [(_entries(use), _defined(use, use.in_shapes[0]), _defined(use, use.out_shapes[0])) for use in uses]
    return replace(
        _kept(uses, f"a {type(layer).__name__} is a factor already and is kept as it is"),
        kept_fm=sum(entries * layer.feature_map_elements(*pair) for entries, *pair in shapes),
        kept_macs=sum(entries * layer.macs(*pair) for entries, *pair in shapes),
    )


def _read_other(uses: list[Call]) -> list[Layer]:
    layer = uses[0].layer
    reason = KEPT_BECAUSE.get(stock_class(layer).__name__, f"no method factorizes a {type(layer).__name__} layer")
    kept = _kept(uses, reason)
    return [replace(kept, kept_macs=0) if stock_class(layer).__name__ == "Embedding" else kept]


READERS: dict[str, Callable[[list[Call]], list[Layer]]] = {
    "Dense": _read_dense,
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), _read_conv),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _read_depthwise),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _read_separable),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), _read_transposed),
}


def _geometry(use: Call) -> dict[str, Any]:
    """The numbers of one call of any convolution, as fields of a Layer."""
    layer = use.layer
    inputs, outputs = _defined(use, use.in_shapes[0]), _defined(use, use.out_shapes[0])
    first = layer.data_format == "channels_first"
    return {
        "kernel": tuple(layer.kernel_size),
        "in_channels": inputs[0] if first else inputs[-1],
        "out_channels": outputs[0] if first else outputs[-1],
        "in_size": inputs[1:] if first else inputs[:-1],
        "out_size": outputs[1:] if first else outputs[:-1],
        "strides": tuple(layer.strides),
        "padding": layer.padding,
        "dilation": tuple(layer.dilation_rate),
    }


def _one_size(uses: list[Call]) -> bool:
    return len({use.in_shapes for use in uses}) == 1


def _entries(use: Call) -> int:
    """How many entries of the batch one sample makes at the layer's input."""
    (entries,) = _defined(use, use.in_entries[:1])
    return entries


def _defined(use: Call, shape: Shape) -> tuple[int, ...]:
    """The shape, if every size is known. Raises UserError otherwise."""
    sizes = tuple(size for size in shape if size is not None)
    if len(sizes) < len(shape):
        given = use.in_shapes[0] if None in use.in_shapes[0] else (*use.in_entries[:1], *use.in_shapes[0])
        raise UserError(
            f"layer '{use.path}' gets an input of shape {given}, in which None is not known; "
            "build the model with a fixed input shape, or pass input_shape (--input-shape 224,224,3)"
        )
    return sizes


def _kept_conv(uses: list[Call], reason: str, groups: int = 1) -> Layer:
    """A kept convolution; every output position costs one multiply-accumulate per kernel element."""
    positions = sum(_entries(use) * prod(_geometry(use)["out_size"]) for use in uses)
    kept = _kept(uses, reason)
    return replace(kept, **_geometry(uses[0]), groups=groups, kept_macs=positions * (kept.kept_params or 0))


def _kept(uses: list[Call], reason: str) -> Layer:
    """A kept layer, with the counts of its weights and outputs; its multiply-accumulates are unknown."""
    layer = uses[0].layer
    is_defined = None not in [size for use in uses for shape in (use.out_entries, *use.out_shapes) for size in shape]
    return Layer(
        name=uses[0].path,
        kind=type(layer).__name__.lower(),
        in_channels=_channels(uses[0].in_shapes),
        out_channels=_channels(uses[0].out_shapes),
        kept_because=reason,
        kept_params=_matrix_params(layer),
        kept_fm=sum(use.out_elements for use in uses) if is_defined else None,
    )


def _channels(shapes: tuple[Shape, ...]) -> int:
    """The last size of the first shape; 0 if there is none."""
    return (shapes[0][-1] or 0) if shapes and shapes[0] else 0
