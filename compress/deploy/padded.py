"""Ranks in whole blocks: the channels between the factors of an ONNX model, padded with zeros.

ONNX Runtime's convolutions work in blocks of channels and leave their fast path for other numbers of them. Between two
convolutions with nothing in between, as in a chain of factors, more channels that are all zero change no output.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx


def pad_ranks(path: Path, block: int) -> int:
    """Pads the channels between neighbouring convolutions of a file to multiples of ``block``.

    Returns the number of chains that were padded. Channels that anything else reads, or that are an output, are left as
    they are, and so are weights that several convolutions share.
    """
    import onnx

    model, padded = onnx.load(str(path)), 0
    graph = _Graph(model)
    for node in model.graph.node:
        chain = graph.chain_from(node)
        if chain is not None and graph.pad(chain, block):
            padded += 1
    if padded:
        del model.graph.value_info[:]  # the shapes in between are others now
        onnx.save(model, str(path))
    return padded


@dataclass(frozen=True)
class _Chain:
    """A convolution, those of single channels behind it, and the one that mixes the channels again."""

    first: onnx.NodeProto
    depthwise: tuple[onnx.NodeProto, ...]
    last: onnx.NodeProto


class _Graph:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.weights = {one.name: one for one in model.graph.initializer}
        self.outputs = {one.name for one in model.graph.output}
        self.readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in model.graph.node:
            for name in node.input:
                self.readers[name].append(node)

    def chain_from(self, node: onnx.NodeProto) -> _Chain | None:
        """The chain that begins at a convolution that mixes channels; None if there is none that can be padded."""
        if not self._is_own(node) or _groups(node) != 1:
            return None
        channels = self.weights[node.input[1]].dims[0]
        between: list[onnx.NodeProto] = []
        made = node.output[0]
        while made not in self.outputs and len(self.readers[made]) == 1:
            (reader,) = self.readers[made]
            if not self._is_own(reader) or reader.input[0] != made:
                return None
            if _groups(reader) == 1:
                return _Chain(node, tuple(between), reader)
            if not _groups(reader) == channels == self.weights[reader.input[1]].dims[0]:
                return None
            between.append(reader)
            made = reader.output[0]
        return None

    def pad(self, chain: _Chain, block: int) -> int:
        """Pads the channels of a chain; returns by how many."""
        more = int(-self.weights[chain.first.input[1]].dims[0] % block)
        if more:
            for node in (chain.first, *chain.depthwise):
                for name in node.input[1:]:
                    self._widen(name, 0, more)
            for node in chain.depthwise:
                next(one for one in node.attribute if one.name == "group").i += more
            self._widen(chain.last.input[1], 1, more)
        return more

    def _is_own(self, node: onnx.NodeProto) -> bool:
        """Whether a node is a convolution with constant weights that nothing else reads."""
        return node.op_type == "Conv" and all(
            name in self.weights and len(self.readers[name]) == 1 for name in node.input[1:]
        )

    def _widen(self, name: str, axis: int, more: int) -> None:
        """Appends zeros to weights along an axis."""
        from onnx import numpy_helper

        array = numpy_helper.to_array(self.weights[name])
        wide = np.pad(array, [(0, more if place == axis else 0) for place in range(array.ndim)])
        self.weights[name].CopyFrom(numpy_helper.from_array(wide, name))


def _groups(node: onnx.NodeProto) -> int:
    return next((int(one.i) for one in node.attribute if one.name == "group"), 1)
