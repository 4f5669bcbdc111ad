"""An .onnx file taken apart: its operations, and a model of its own for each output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TRANSPOSE = "Transpose"

CHANNELS_FIRST = {"Conv", "MaxPool", "AveragePool"}
"""Operations that ONNX has with channels first alone."""


def foreign_operations(path: Path) -> list[tuple[str, str]]:
    """Operations that ONNX doesn't define, each with its path in the graph."""
    import onnx

    nodes = onnx.load(str(path), load_external_data=False).graph.node
    return [(one.op_type, one.name) for one in nodes if not onnx.defs.has(one.op_type, one.domain)]


def split(path: Path) -> Iterator[bytes]:
    """A model for each output, in their order, with channels first if it has operations that need them so.

    Transpositions at both ends are left out: within a network, maps stay with channels first from layer to layer.
    """
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    extractor = onnx.utils.Extractor(model)
    graph = model.graph
    maker = {name: node for node in graph.node for name in node.output}
    readers = Counter(name for node in graph.node for name in node.input)
    given = {one.name for one in graph.input}
    for output in graph.output:
        nodes = _needed(maker, output.name)
        (start,) = {name for node in nodes for name in node.input} & given
        first = next(node for node in nodes if start in node.input)
        is_first = any(node.op_type in CHANNELS_FIRST for node in nodes)
        if is_first and first.op_type == TRANSPOSE and readers[start] == 1:
            start = first.output[0]
        is_turned = is_first and maker[output.name].op_type == TRANSPOSE
        end = maker[output.name].input[0] if is_turned else output.name
        part = extractor.extract_model([start], [end])
        yield part.SerializeToString()


def _needed(maker: dict[str, Any], end: str) -> list[Any]:
    """The nodes that a value is made by."""
    found: dict[int, Any] = {}
    todo = [end]
    while todo:
        node = maker.get(todo.pop())
        if node is not None and id(node) not in found:
            found[id(node)] = node
            todo += node.input
    return list(found.values())
