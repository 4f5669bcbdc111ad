"""Operations of TensorFlow that tf2onnx leaves in an .onnx file as they are, in terms of ONNX's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def rewrite(path: Path) -> int:
    """Rewrites the operations of a file that ``REWRITTEN`` knows; returns how many there were."""
    import onnx

    model = onnx.load(str(path))
    graph, nodes, count = model.graph, [], 0
    for node in graph.node:
        way = REWRITTEN.get(node.op_type)
        nodes += [node] if way is None else way(graph, node)
        count += way is not None
    if count:
        del graph.node[:]
        graph.node.extend(nodes)
        onnx.save(model, str(path))
    return count


def _erfc(graph: Any, node: Any) -> list[Any]:
    """erfc(x) = 1 - erf(x): what Keras computes GELU by."""
    from onnx import helper, numpy_helper

    one, erf = f"{node.name}_one", f"{node.name}_erf"
    graph.initializer.append(numpy_helper.from_array(np.float32(1), one))
    return [
        helper.make_node("Erf", node.input, [erf], name=erf),
        helper.make_node("Sub", [one, erf], node.output, name=node.name),
    ]


REWRITTEN: dict[str, Callable[[Any, Any], list[Any]]] = {"Erfc": _erfc}
"""How each is rewritten: the nodes that stand for one, given the graph, to which constants may be added."""
