"""Operations of TensorFlow in the graph of a Keras 2 model, as operations of Keras 3.

Keras 2 made a layer of every function that was called on its tensors: ``x / 255``, ``tf.nn.relu(x)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rankline.src.dse.errors import UserError

OPERATION_LAYERS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
"""The classes of such layers."""


class Operation(NamedTuple):
    """The class in ``keras.src.ops``; arguments: those of its constructor by the function's names for them; takes_y:
    whether it is called with a second tensor or number."""

    module: str
    class_name: str
    arguments: Mapping[str, str] = {}
    takes_y: bool = False


_REDUCED = {"axis": "axis", "keepdims": "keepdims"}

OPERATIONS: Mapping[str, Operation] = {
    **{
        f"math.{name}": Operation("numpy", class_name, takes_y=True)
        for name, class_name in {
            "add": "Add", "subtract": "Subtract", "multiply": "Multiply", "truediv": "TrueDivide", "divide": "Divide",
            "maximum": "Maximum", "minimum": "Minimum", "pow": "Power",
        }.items()
    },
    "__operators__.add": Operation("numpy", "Add", takes_y=True),
    **{
        f"math.{name}": Operation("numpy", class_name)
        for name, class_name in {
            "negative": "Negative", "square": "Square", "sqrt": "Sqrt", "exp": "Exp", "log": "Log", "abs": "Absolute",
            "tanh": "Tanh",
        }.items()
    },
    **{
        f"math.reduce_{name}": Operation("numpy", class_name, _REDUCED)
        for name, class_name in {"mean": "Mean", "sum": "Sum", "max": "Max", "min": "Min"}.items()
    },
    **{
        name: Operation("nn", class_name)
        for name, class_name in {
            "nn.relu": "Relu", "nn.relu6": "Relu6", "nn.elu": "Elu", "nn.selu": "Selu", "nn.softplus": "Softplus",
            "nn.silu": "Silu", "nn.sigmoid": "Sigmoid", "math.sigmoid": "Sigmoid",
        }.items()
    },
    "nn.tanh": Operation("numpy", "Tanh"),
    "nn.softmax": Operation("nn", "Softmax", {"axis": "axis"}),
    "concat": Operation("numpy", "Concatenate", {"axis": "axis"}),
    "reshape": Operation("numpy", "Reshape", {"shape": "newshape"}),
    "expand_dims": Operation("numpy", "ExpandDims", {"axis": "axis"}),
    "clip_by_value": Operation("numpy", "Clip", {"clip_value_min": "x_min", "clip_value_max": "x_max"}),
    **dict.fromkeys(("squeeze", "compat.v1.squeeze"), Operation("numpy", "Squeeze", {"axis": "axis"})),
    **dict.fromkeys(("transpose", "compat.v1.transpose"), Operation("numpy", "Transpose", {"perm": "axes"})),
}  # fmt: skip


def modern_operation(layer: Mapping[str, Any]) -> dict[str, Any]:
    """The layer of a function, whose calls are already those of Keras 3, as an operation.

    Raises UserError for a function or an argument that isn't in the table.
    """
    config, (*others, node) = layer["config"], layer["inbound_nodes"] or [None]
    known = OPERATIONS.get(str(config.get("function")))
    if known is None or others or node is None:
        raise UserError(f"it has '{layer['name']}', a function of TensorFlow that has no counterpart in Keras 3 here")
    given = {
        key: value for key, value in node["kwargs"].items() if key != "name" and not (value is None or value is False)
    }
    y = [given.pop("y")] if known.takes_y and "y" in given else []
    unknown = sorted(given.keys() - known.arguments.keys())
    if unknown or (known.takes_y and not y):
        raise UserError(f"it has '{layer['name']}', a function of TensorFlow called in a way that Keras 3 hasn't")
    return {
        "module": f"keras.src.ops.{known.module}",
        "class_name": known.class_name,
        "registered_name": known.class_name,
        "name": layer["name"],
        "config": {"name": layer["name"], **{known.arguments[key]: value for key, value in given.items()}},
        "inbound_nodes": [{"args": [*node["args"], *y], "kwargs": {}}],
    }
