"""A .tflite file taken apart: its operations, and a file of its own for each output.

The schema: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any

import numpy as np

FLEX = "Flex"
"""Begins the names of TensorFlow's own operations, which LiteRT runs only where all of TensorFlow is linked."""

VERSION = 3


def foreign_operations(content: bytes) -> list[tuple[str, str]]:
    """Operations that LiteRT lacks, each with the path of what it makes."""
    model = unpacked(content)
    found = []
    for graph in model.subgraphs:
        for one in graph.operators:
            custom = model.operatorCodes[one.opcodeIndex].customCode
            if custom:
                name = custom.decode()
                found.append((name.removeprefix(FLEX), graph.tensors[one.outputs[0]].name.decode()))
    return found


def split(content: bytes) -> Iterator[bytes]:
    """A model for each output of a model's only signature, in the order of their numbers: ``output_0``, .."""
    model = unpacked(content)
    graph = model.subgraphs[0]
    ends = {int(one.name.decode().rpartition("_")[2]): int(one.tensorIndex) for one in model.signatureDefs[0].outputs}
    maker = {int(tensor): number for number, one in enumerate(graph.operators) for tensor in one.outputs}
    for number in sorted(ends):
        yield _part(model, graph, maker, ends[number])


def _part(model: Any, graph: Any, maker: dict[int, int], end: int) -> bytes:
    """The model that makes one tensor: the operators that it needs, their tensors and their weights."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    operators, tensors = _needed(graph, maker, end)
    places = {tensor: place for place, tensor in enumerate(tensors)}
    part = schema.ModelT()
    part.version, part.operatorCodes, part.buffers = VERSION, model.operatorCodes, [schema.BufferT()]
    inner = schema.SubGraphT()
    inner.tensors, inner.operators = [], []
    for tensor in tensors:
        one = copy(graph.tensors[tensor])
        weights = model.buffers[one.buffer]
        one.buffer = 0
        if weights.data is not None and len(weights.data):
            one.buffer = len(part.buffers)
            part.buffers.append(weights)
        inner.tensors.append(one)
    for operator in operators:
        one = copy(graph.operators[operator])
        one.inputs = [places.get(int(tensor), -1) for tensor in one.inputs]
        one.outputs = [places[int(tensor)] for tensor in one.outputs]
        inner.operators.append(one)
    given = set(map(int, graph.inputs))
    inner.inputs, inner.outputs = [places[tensor] for tensor in tensors if tensor in given], [places[end]]
    part.subgraphs = [inner]
    return packed(part, flatbuffers.Builder(1 << 16))


def _needed(graph: Any, maker: dict[int, int], end: int) -> tuple[list[int], list[int]]:
    """The operators, in their order, and the tensors that a tensor is made from."""
    operators: set[int] = set()
    tensors: set[int] = {end}
    todo = [end]
    while todo:
        number = maker.get(todo.pop())
        if number is None or number in operators:
            continue
        operators.add(number)
        inputs = [int(tensor) for tensor in graph.operators[number].inputs if tensor >= 0]
        tensors.update(inputs, map(int, graph.operators[number].outputs))
        todo += inputs
    return sorted(operators), sorted(tensors)


def packed(model: Any, builder: Any) -> bytes:
    """The content of a model, written by a builder of FlatBuffers."""
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def unpacked(content: bytes) -> Any:
    """The model of a content, as objects that can be changed."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for one in model.buffers:
        if one.data is None and one.size:  # larger ones may lie behind the rest of the file
            one.data = np.frombuffer(content, np.uint8, one.size, one.offset)
            one.offset = one.size = 0
    return model
