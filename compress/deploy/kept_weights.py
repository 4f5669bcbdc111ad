"""Weights of an ONNX file that are kept in fewer bytes and computed with in single precision.

What makes floats of them again is constant, so ONNX Runtime does it once, when it loads the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rankline.src.compress.data.arrays import Array

if TYPE_CHECKING:
    import onnx

FEWEST = 64
"""Weights below this number of elements stay as they are: what restores them takes as many bytes."""

LARGEST = 127
"""Of a signed byte, used on both sides of zero."""

Kept = tuple[list[Any], list[Any]]
"""The constants that stand for weights, and the nodes that make the weights of them."""


def keep_as_halves(path: Path) -> None:
    """Keeps float weights in half precision, but for those that it can't hold."""
    _keep(path, _halves)


def keep_as_integers(path: Path) -> None:
    """Keeps float weights of convolutions and matrices as 8-bit integers, with a factor for each output channel."""
    _keep(path, _integers)


def _keep(path: Path, kept: Callable[[str, Array, int], Kept | None]) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(path))
    graph = model.graph
    constants = {one.name: one for one in graph.initializer}
    restoring = []
    for name, axis in dict(_weights(graph)).items():
        array = numpy_helper.to_array(constants[name])
        if array.dtype != np.float32 or array.size < FEWEST:
            continue
        made = kept(name, array, axis)
        if made is not None:
            graph.initializer.remove(constants[name])
            graph.initializer.extend(made[0])
            restoring += made[1]
    nodes = [*restoring, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, str(path))


def _weights(graph: onnx.GraphProto) -> Iterator[tuple[str, int]]:
    """The constants that are weights of convolutions and matrices, each with the axis of its output channels."""
    constants = {one.name: len(one.dims) for one in graph.initializer}
    for node in graph.node:
        axis_of = AXES.get(node.op_type)
        for place, name in enumerate(node.input[:2]):
            if axis_of is not None and constants.get(name, 0) > 1:
                yield name, axis_of(node, place, constants[name])


def _of_gemm(node: onnx.NodeProto, place: int, axes: int) -> int:
    turned = any(one.name == ("transA", "transB")[place] and one.i for one in node.attribute)
    return place if not turned else 1 - place


AXES: dict[str, Callable[[Any, int, int], int]] = {
    "Conv": lambda node, place, axes: 0,
    "ConvTranspose": lambda node, place, axes: 1,
    "Gemm": _of_gemm,
    "MatMul": lambda node, place, axes: axes - 2 + place,
}
"""The axis of the output channels, by the place among the inputs and the number of axes."""


def _halves(name: str, array: Array, axis: int) -> Kept | None:
    from onnx import TensorProto, helper, numpy_helper

    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if not np.isfinite(half).all():
        return None
    stored = f"{name}_half"
    return [numpy_helper.from_array(half, stored)], [helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT)]


def _integers(name: str, array: Array, axis: int) -> Kept | None:
    """A cast and a product rather than a DequantizeLinear, which ONNX Runtime would compute in every call."""
    from onnx import TensorProto, helper, numpy_helper

    others = tuple(one for one in range(array.ndim) if one != axis)
    largest = np.abs(array).max(axis=others, keepdims=True)
    factor = np.where(largest > 0, largest / LARGEST, 1).astype(np.float32)
    stored, scale, cast = f"{name}_integer", f"{name}_factor", f"{name}_cast"
    return [
        numpy_helper.from_array(np.rint(array / factor).astype(np.int8), stored),
        numpy_helper.from_array(factor, scale),
    ], [
        helper.make_node("Cast", [stored], [cast], to=TensorProto.FLOAT),
        helper.make_node("Mul", [cast, scale], [name]),
    ]
