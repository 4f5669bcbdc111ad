"""A .tflite file without what its runtime doesn't read: long names within the graph, and equal vectors twice.

Converters name each tensor by the paths of all operations that it stands for, and quantizers write a zero point for
each channel of each weight and bias, all of them zero. Vectors in a FlatBuffer may be shared. On ResNet-20 by CP in
eight bits this is a fifth of the file.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

from rankline.src.compress.deploy.tflite_file import packed, unpacked


class _Sharing(flatbuffers.Builder):  # type: ignore[misc]
    """Writes equal vectors of numbers once."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: NDArray[Any]) -> int:  # noqa: N802 (the library's name)
        key = x.dtype.str, x.tobytes()
        if key not in self.written:
            self.written[key] = super().CreateNumpyVector(x)
        return self.written[key]


def shrunk(content: bytes) -> bytes:
    """The same model in fewer bytes: inputs and outputs keep their names."""
    model = unpacked(content)
    for graph in model.subgraphs:
        ends = {*map(int, graph.inputs), *map(int, graph.outputs)}
        for number, tensor in enumerate(graph.tensors):
            if number not in ends:
                tensor.name = str(number).encode()  # quantizers ask for names that differ
            for one in filter(None, [tensor.quantization]):
                one.scale, one.zeroPoint = _vector(one.scale, np.float32), _vector(one.zeroPoint, np.int64)
    made = packed(model, _Sharing(len(content)))
    return made if len(made) < len(content) else content


def _vector(values: Any, dtype: Any) -> Any:
    return None if values is None else np.asarray(values, dtype)
