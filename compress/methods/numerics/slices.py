"""Slice SVD: the CP terms that singular value decompositions find in a convolution's kernel.

In the HOSVD basis of the spatial axes (De Lathauwer et al., "A Multilinear Singular Value Decomposition", SIAM J.
Matrix Anal. Appl. 21(4), 2000), the kernel is one C x F slice for each combination of basis vectors. Every singular
triple of a slice is a rank-one CP term, and all of them are orthogonal: the share of the pooled squared singular values
beyond the r largest is the squared error of r terms, and bounds that of the best CP of rank r.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import tensorly as tl
from numpy.typing import NDArray
from tensorly.tenalg import multi_mode_dot

from rankline.src.compress.methods.numerics.gram import leading_frame, tail_of
from rankline.src.compress.methods.numerics.tensor import Tensor

NEGLIGIBLE = 1e-20
"""Squared relative errors below this are rounding errors."""


@dataclass(frozen=True)
class SliceSVD:
    """The singular triples of all slices, the largest of each slice first; m = min(C, F).

    bases: (K_j, K_j) for each spatial axis;
    left, right: (C, m) and (F, m) for each slice, orthonormal on the smaller side, scaled by the singular values on the
        other;
    energy: the squared singular values (K, m).
    """

    bases: list[Tensor]
    left: list[Tensor]
    right: list[Tensor]
    energy: NDArray[np.float64]

    def bound(self) -> NDArray[np.float64]:
        """The squared relative error of r terms, at [r - 1] for r = 1 .. K m."""
        return tail_of(np.sort(self.energy, axis=None)[::-1])

    def is_exact(self, rank: int) -> bool:
        """Whether that many terms represent the kernel up to rounding."""
        beyond = np.sort(self.energy, axis=None)[:-rank].sum()
        return bool(beyond <= NEGLIGIBLE * self.energy.sum())

    def terms(self, rank: int) -> list[Tensor]:
        """The ``rank`` largest terms as columns: (C, r), (K_1, r), .., (K_d, r), (F, r)."""
        slices, m = self.energy.shape
        largest = np.argsort(-self.energy, axis=None, kind="stable")[:rank]
        counts = np.bincount(largest // m, minlength=slices)
        places = np.unravel_index(np.repeat(np.arange(slices), counts), [len(basis) for basis in self.bases])
        spatial = [
            tl.matmul(basis, tl.tensor(np.eye(len(basis))[:, place], **tl.context(basis)))
            for basis, place in zip(self.bases, places, strict=True)
        ]
        ends = (
            tl.concatenate([side[:, :count] for side, count in zip(sides, counts.tolist(), strict=True)], axis=1)
            for sides in (self.left, self.right)
        )
        first, last = ends
        return [first, *spatial, last]


def slice_svd(weights: Tensor) -> SliceSVD:
    """The slice SVD of a kernel (K_1, .., K_d, C, F), from the Gram matrices of the slices' smaller side."""
    *kernel, inputs, outputs = tl.shape(weights)
    bases = [leading_frame(tl.unfold(weights, axis), size) for axis, size in enumerate(kernel)]
    rotated = multi_mode_dot(weights, [tl.transpose(basis) for basis in bases], modes=list(range(len(kernel))))
    stacked = tl.reshape(rotated, (prod(kernel), inputs, outputs))
    if wide := inputs < outputs:
        stacked = tl.transpose(stacked, [0, 2, 1])
    frames = [leading_frame(tl.transpose(one), min(inputs, outputs)) for one in stacked]
    images = [tl.matmul(one, frame) for one, frame in zip(stacked, frames, strict=True)]
    energy = np.stack([tl.to_numpy(tl.sum(image**2, axis=0)) for image in images])
    return SliceSVD(bases, *((frames, images) if wide else (images, frames)), energy)
