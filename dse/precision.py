"""The precisions at which a file is written: in what numbers it keeps weights, and in what it computes."""

from __future__ import annotations

from dataclasses import dataclass

from rankline.src.dse.errors import one_of


@dataclass(frozen=True)
class Precision:
    """One precision.

    - ``meaning``: in words
    - ``bytes_per_weight``: in a file
    - ``needs_samples``: whether the ranges of maps are taken from samples of the inputs
    """

    name: str
    meaning: str
    bytes_per_weight: int
    needs_samples: bool = False


F32 = Precision("f32", "weights and computation in single precision", 4)
F16 = Precision("f16", "weights kept in half precision, computation in single precision", 2)
INT8 = Precision(
    "int8", "weights and maps in 8-bit integers, whose ranges are taken from samples", 1, needs_samples=True
)
INT8_DYNAMIC = Precision("int8-dynamic", "weights in 8-bit integers, maps too within a call, each by its own range", 1)
INT8_WEIGHTS = Precision("int8-weights", "weights kept in 8-bit integers, computation in single precision", 1)

PRECISIONS = {one.name: one for one in (F32, F16, INT8, INT8_DYNAMIC, INT8_WEIGHTS)}
"""All of them by the names that users type."""

ELEMENT_BYTES = {one.name: one.bytes_per_weight for one in (F32, F16, INT8)}
"""Bytes of an element by precision, where memory is read as if params and feature maps were all kept at it."""


def precision_named(name: str) -> Precision:
    """The precision of that name. Raises UserError with the possible ones."""
    if name not in PRECISIONS:
        raise one_of("precision", name, list(PRECISIONS))
    return PRECISIONS[name]
