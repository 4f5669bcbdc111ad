"""Pivoted QR of a matrix, truncated to r columns: the costs of SVD, without its optimality.

Golub and Van Loan, "Matrix Computations", section 5.4 (QR with column pivoting).
"""

from __future__ import annotations

from collections.abc import Iterator

from rankline.src.dse.chain import Link
from rankline.src.dse.formula import Formula
from rankline.src.dse.layer import Layer
from rankline.src.dse.methods.method import Method, matrix_only
from rankline.src.dse.methods.svd import matrix_chain, matrix_formula


class QR(Method):
    name = "qr"
    title = "QR"

    def refuses(self, layer: Layer) -> str | None:
        return matrix_only(self.title, layer)

    def formula(self, axes: int) -> Formula:
        return matrix_formula(axes)

    def chain(self, layer: Layer, ranks: tuple[int, ...], shape: str | None) -> Iterator[Link]:
        return matrix_chain(layer, *ranks)
