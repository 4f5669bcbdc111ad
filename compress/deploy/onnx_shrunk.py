"""An .onnx file without what its runtime doesn't read: the names of nodes, and long ones of values."""

from __future__ import annotations

from itertools import count
from pathlib import Path


def shrink(path: Path) -> None:
    """Rewrites a file in fewer bytes: inputs and outputs keep their names.

    Converters name each value by the paths of the operations that made it, and quantizers make three of one. A model
    with graphs inside its nodes stays as it is.
    """
    import onnx

    model = onnx.load(str(path))
    graph = model.graph
    if any(one.HasField("g") or one.graphs for node in graph.node for one in node.attribute):
        return
    short = {one.name: one.name for one in (*graph.input, *graph.output)} | {"": ""}
    fresh = (name for name in map(str, count()) if name not in short)
    values = [one.name for one in graph.initializer] + [name for node in graph.node for name in node.output]
    for name in values:
        if name not in short:
            short[name] = next(fresh)
    for one in graph.initializer:
        one.name = short[one.name]
    for node in graph.node:
        node.name = node.doc_string = ""
        node.input[:] = [short[name] for name in node.input]
        node.output[:] = [short[name] for name in node.output]
    del graph.value_info[:]
    del graph.quantization_annotation[:]
    onnx.save(model, str(path))
