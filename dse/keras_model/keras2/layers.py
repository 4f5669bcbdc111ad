"""The layers of Keras 2: what they are called in Keras 3, and the arguments that they no longer take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rankline.src.dse.errors import UserError

RENAMED = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "GRUV1": "GRU",
    "GRUV2": "GRU",
    "LSTMV1": "LSTM",
    "LSTMV2": "LSTM",
}
"""Layers that Keras 3 has under another name."""

HOMES = {
    "LayerScale": "keras.src.applications.convnext",
    "CustomScaleLayer": "keras.src.applications.inception_resnet_v2",
    **dict.fromkeys(("RandomHeight", "RandomWidth", "ThresholdedReLU"), "keras.src.legacy.layers"),
}
"""The modules of layers that Keras 3 has, but not in keras.layers."""

REMOVED = {"LocallyConnected1D", "LocallyConnected2D", "CuDNNLSTM", "CuDNNGRU"}
"""Layers that Keras 3 has no more."""

GROUPED = ("Conv1D", "Conv2D", "Conv3D", "GroupNormalization")
"""The layers that still have groups."""

RECURRENT = ("RNN", "SimpleRNN", "LSTM", "GRU", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
"""Layers whose further inputs are the state that they start from."""

GONE: Mapping[str, Any] = {"groups": 1, "time_major": False, "renorm": False}
"""Arguments that Keras 3 has no more, groups of GROUPED layers excepted; and their value that asked for nothing."""

DROPPED = (
    "batch_input_shape", "input_dtype", "input_length", "fused", "virtual_batch_size", "renorm_clipping",
    "renorm_momentum", "adjustment", "query_shape", "key_shape", "value_shape",
)  # fmt: skip
"""Arguments that Keras 3 has no more, and that don't change what a layer computes."""

DROPPED_FROM: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("SeparableConv1D", "SeparableConv2D", "DepthwiseConv1D", "DepthwiseConv2D"),
        ("kernel_initializer", "kernel_regularizer", "kernel_constraint"),
    ),
    **dict.fromkeys(("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"), ("trainable", "noise_shape")),
}
"""The same, of some layers."""

INNER = ("layer", "backward_layer", "cell")
"""Arguments that are layers themselves."""

HARD_SIGMOID = (
    "it has a hard_sigmoid, which was 0.2 x + 0.5 in Keras 2 and is x / 6 + 0.5 in Keras 3: its outputs would be others"
)


def modern_layer(one: Mapping[str, Any], modern: Callable[[Mapping[str, Any]], Any]) -> dict[str, Any]:
    """A layer's class and arguments for Keras 3; ``modern`` does the same for a layer within it.

    Raises UserError for a layer that Keras 3 has no more or that it would compute otherwise.
    """
    package, _, class_name = str(one["class_name"]).rpartition(">")
    class_name = RENAMED.get(class_name, class_name)
    if class_name in REMOVED:
        raise UserError(f"it has a {class_name}, a layer that Keras 3 has no more")
    config = _arguments(class_name, one["config"])
    for key in INNER:
        if isinstance(config.get(key), Mapping):
            config[key] = modern(config[key])
    if isinstance(config.get("cells"), list):
        config["cells"] = [modern(cell) for cell in config["cells"]]
    own = str(one.get("registered_name") or (one["class_name"] if package else ""))
    if ">" in own and class_name not in HOMES:
        return {"module": None, "class_name": class_name, "registered_name": own, "config": config}
    return {
        "module": HOMES.get(class_name, "keras.layers"),
        "class_name": class_name,
        "registered_name": None,
        "config": config,
    }


def _arguments(class_name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    if "hard_sigmoid" in (config.get("activation"), config.get("recurrent_activation")):
        raise UserError(HARD_SIGMOID)
    dropped = {*DROPPED, *DROPPED_FROM.get(class_name, ())}
    for key, nothing in GONE.items():
        if key in config and not (key == "groups" and class_name in GROUPED):
            if config[key] not in (nothing, None):
                raise UserError(f"it has a {class_name} with {key}={config[key]}, which Keras 3 has no more")
            dropped.add(key)
    found = {key: _plain(value) for key, value in config.items() if key not in dropped}
    if isinstance(found.get("dtype"), Mapping):  # a policy of mixed precision
        found["dtype"] = found["dtype"].get("config", {}).get("name")
    match class_name:
        case "InputLayer" if "batch_input_shape" in config:
            found["batch_shape"] = config["batch_input_shape"]
        case "BatchNormalization" if isinstance(found.get("axis"), list) and len(found["axis"]) == 1:
            found["axis"] = found["axis"][0]
        case "LeakyReLU" if "alpha" in found:
            found["negative_slope"] = found.pop("alpha")
        case "GRU" | "GRUCell":
            found.setdefault("reset_after", False)  # the only kind before it was written
    return found


def _plain(value: Any) -> Any:
    """An array that old versions wrote as an object, as its number or list."""
    return value["value"] if isinstance(value, Mapping) and value.get("type") == "ndarray" else value
