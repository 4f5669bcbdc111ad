"""An .onnx file taken apart: its operations, and a model of its own for each output."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TRANSPOSE = "Transpose"

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"

CHANNELS_FIRST = {"Conv", "MaxPool", "AveragePool"}
"""Operations that ONNX has with channels first alone."""


def foreign_operations(path: Path) -> list[tuple[str, str]]:
    """Operations that ONNX doesn't define, each with its path in the graph."""
    import onnx

    nodes = onnx.load(str(path), load_external_data=False).graph.node
    return [(one.op_type, one.name) for one in nodes if not onnx.defs.has(one.op_type, one.domain)]


def split(path: Path) -> Iterator[bytes]:
    """A model for each output, in their order, with channels first if it has operations that need them so.

    What only turns maps at both ends, or makes integers or floats of them, is left out: within a network, maps stay as
    they are from layer to layer.
    """
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    extractor = onnx.utils.Extractor(model)
    graph = model.graph
    maker = {name: node for node in graph.node for name in node.output}
    readers: dict[str, list[Any]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    given = {one.name for one in graph.input}
    for output in graph.output:
        nodes = _needed(maker, output.name)
        (start,) = {name for node in nodes for name in node.input} & given
        is_first = any(node.op_type in CHANNELS_FIRST for node in nodes)
        passed = {QUANTIZE, DEQUANTIZE, *([TRANSPOSE] if is_first else [])}
        part = extractor.extract_model([_start(start, readers, passed)], [_end(output.name, maker, passed)])
        yield part.SerializeToString()


def _start(name: str, readers: dict[str, list[Any]], passed: set[str]) -> str:
    """The value behind an input from which the maps are as within a network."""
    found = name
    while len(readers[name]) == 1 and readers[name][0].op_type in passed:
        (node,) = readers[name]
        name = node.output[0]
        if node.op_type != DEQUANTIZE:
            found = name
    return found


def _end(name: str, maker: dict[str, Any], passed: set[str]) -> str:
    """The value before an output up to which the maps are as within a network."""
    found = name
    while name in maker and maker[name].op_type in passed:
        node = maker[name]
        name = node.input[0]
        if node.op_type != QUANTIZE:
            found = name
    return found


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
