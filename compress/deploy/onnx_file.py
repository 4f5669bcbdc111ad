"""An .onnx file taken apart: its operations, and a model of its own for each output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TRANSPOSE = "Transpose"


def foreign_operations(path: Path) -> list[tuple[str, str]]:
    """Operations that ONNX doesn't define, each with its path in the graph."""
    import onnx

    nodes = onnx.load(str(path), load_external_data=False).graph.node
    return [(one.op_type, one.name) for one in nodes if not onnx.defs.has(one.op_type, one.domain)]


def split(path: Path) -> Iterator[bytes]:
    """A model for each output, in their order, with channels first if they are convolved.

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
        if first.op_type == TRANSPOSE and readers[start] == 1:
            start = first.output[0]
        end = maker[output.name].input[0] if maker[output.name].op_type == TRANSPOSE else output.name
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
