"""ONNX files at other precisions than f32: integers by onnxruntime.quantization, kept weights by casts.

Activations are unsigned and weights signed, by channel: ONNX Runtime's kernels for x86 with VNNI take 0.33 ms for a
ResNet-20 so, and 0.88 ms where both are signed, at the same accuracy.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rankline.src.compress.data.arrays import Array
from rankline.src.compress.deploy.conversion import quiet
from rankline.src.compress.deploy.kept_weights import keep_as_halves, keep_as_integers
from rankline.src.dse.precision import F16, INT8, INT8_DYNAMIC, INT8_WEIGHTS, Precision

Batches = Iterable[Sequence[Array]]

MATRICES = ["MatMul", "Gemm"]
"""Operations that compute in integers by the range of each call. Not convolutions: theirs take five times as long as
floats do."""


def quantize(path: Path, precision: Precision, batches: Batches = ()) -> None:
    """Rewrites a float model at another precision; it takes and gives what it did.

    batches: samples for a precision that needs them, an array of the model's shape for each input.
    """
    with quiet(), tempfile.TemporaryDirectory() as folder:
        WAYS[precision.name](path, Path(folder), batches)


def _static(path: Path, folder: Path, batches: Batches) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    quantize_static(
        _prepared(path, folder),
        path,
        _Reader(path, batches),
        QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def _dynamic(path: Path, folder: Path, batches: Batches) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(_prepared(path, folder), path, MATRICES, per_channel=True, weight_type=QuantType.QInt8)
    keep_as_integers(path)


WAYS: dict[str, Callable[[Path, Path, Batches], None]] = {
    F16.name: lambda path, folder, batches: keep_as_halves(path),
    INT8.name: _static,
    INT8_DYNAMIC.name: _dynamic,
    INT8_WEIGHTS.name: lambda path, folder, batches: keep_as_integers(path),
}


def _prepared(path: Path, folder: Path) -> Path:
    """The model with shapes told and normalizations folded into the weights."""
    from onnxruntime.quantization import quant_pre_process

    prepared = folder / "prepared.onnx"
    quant_pre_process(path, prepared, skip_symbolic_shape=True)
    return prepared


class _Reader:
    """The batches, as the quantizer asks for them."""

    def __init__(self, path: Path, batches: Batches) -> None:
        import onnx

        self.names = [one.name for one in onnx.load(str(path), load_external_data=False).graph.input]
        self.batches: Iterator[Sequence[Array]] = iter(batches)

    def get_next(self) -> dict[str, Any] | None:
        """The next batch by the names of inputs; None at the end."""
        batch = next(self.batches, None)
        return None if batch is None else dict(zip(self.names, map(np.ascontiguousarray, batch), strict=True))
