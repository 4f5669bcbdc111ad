"""Error-preserving correction of CP: the smallest rank-one terms at nearly the same error.

Phan et al., "Stable Low-rank Tensor Decomposition for Compression of Convolutional Neural Network", ECCV 2020. The
terms of a CP can be far larger than their sum, because they cancel; every rounding of the factors then changes the
kernel by as much more. Here the sum of the terms' squared norms is minimised with the error held at what is allowed,
one factor after the other: with the columns of the others scaled to norm 1, it is the squared norm of the factor that
is solved for. That is a ridge regression, whose ridge follows from the allowed error by Newton's method (Moré and
Sorensen, "Computing a Trust Region Step", SIAM J. Sci. Stat. Comput. 4(3), 1983). Sweeps are extrapolated as those of
``als``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import mul

import numpy as np
import tensorly as tl
from numpy.typing import NDArray

from rankline.src.compress.methods.numerics.sweep import Kernel, balanced, rebuilt
from rankline.src.compress.methods.numerics.tensor import Tensor

SLACK = 0.005
"""How much larger the error may become, as a share of it. The energy of the error may rise by twice this share of it,
or of the energy that is represented, if that is less: a kernel's first terms aren't given away."""

PATIENCE = 3
TOLERANCE = 0.03
"""Stops when PATIENCE sweeps lower the terms' energy by less than this per sweep on average; less is no gain either."""

NEGLIGIBLE = 1e-6
"""The squares of smaller relative errors are lost in the rounding of sums."""

SINGULAR = 1e-12
"""Eigenvalues of a Gram matrix below this, relative to the largest, are rounding errors."""

NEWTON = 50
PRECISE = 1e-6
"""The most steps to a ridge, and how near an error is near enough, relative to the room that it has; less than SLACK
squared, so that the error stays below 1 + SLACK times the given one."""

Reals = NDArray[np.float64]


def growth(factors: Sequence[Tensor]) -> float:
    """How much larger than their sum the rank-one terms are: their squared norms, relative to that of the sum.

    factors: the columns (n, r) of every mode. 1 for terms that are orthogonal, and where the sum is zero. Independent
    relative errors of size e in the entries of all factors change the sum by e sqrt(modes x growth), relative to it.
    """
    whole = float(tl.sum(reduce(mul, (tl.matmul(tl.transpose(one), one) for one in factors))))
    return _energy(factors) / whole if whole > 0 else 1.0


def corrected(weights: Tensor, factors: Sequence[Tensor], sweeps: int) -> list[Tensor]:
    """CP factors with terms as small as possible, whose error is at most 1 + SLACK times that of the given ones.

    weights: (K_1, .., K_d, C, F) in float64; factors, and those returned: (C, r), (K_1, r), .., (K_d, r), (F, r), the
    columns of a term having equal norms. The same terms are returned where ``growth`` can't be lowered: where it is
    hardly above 1, as for a single term, and for errors that are negligible, or not below that of zero.
    """
    start = balanced(factors)
    norm = float(tl.norm(weights))
    if not norm or growth(start) <= 1 + TOLERANCE:
        return start
    scaled = [*start[:-1], start[-1] / norm]
    error = float(tl.norm(weights / norm - rebuilt(scaled)))
    if not NEGLIGIBLE < error < 1:
        return start
    allowed = error**2 + 2 * SLACK * min(error**2, 1 - error**2)
    found = _shrunk(Kernel(weights / norm, tl.float64), scaled, allowed, sweeps)
    found = balanced([*found[:-1], found[-1] * norm])
    is_near = float(tl.norm(weights - rebuilt(found))) <= (1 + SLACK) * error * norm
    return found if is_near and growth(found) < (1 - TOLERANCE) * growth(start) else start


def _energy(factors: Sequence[Tensor]) -> float:
    """The sum of the squared norms of the terms."""
    return float(tl.sum(reduce(mul, (tl.sum(one**2, axis=0) for one in factors))))


def _shrunk(kernel: Kernel, start: Sequence[Tensor], allowed: float, sweeps: int) -> list[Tensor]:
    """Factors with less energy, at the ``allowed`` squared error of a kernel of norm 1."""

    def solve(others: Tensor, products: Tensor, old: Tensor) -> Tensor:
        return _smallest(others, products, old, allowed)

    best = ahead = balanced(start)
    energies, steps = [_energy(best)], 0
    for _ in range(sweeps):
        found, error = kernel.sweep(ahead, solve)
        energy = _energy(found)
        if energy < energies[-1] and error**2 <= (1 + 2 * PRECISE) * allowed:
            momentum = steps / (steps + 3)
            ahead = [new + momentum * (new - old) for new, old in zip(found, best, strict=True)]
            best, steps = found, steps + 1
            energies.append(energy)
        elif ahead is best:
            break
        else:
            ahead, steps = best, 0
            energies.append(energies[-1])
        if len(energies) > PATIENCE and energies[-1] > (1 - TOLERANCE) ** PATIENCE * energies[-1 - PATIENCE]:
            break
    return best


def _smallest(others: Tensor, products: Tensor, old: Tensor, allowed: float) -> Tensor:
    """The factor (n, r) of one mode with which the terms have the least energy at the ``allowed`` squared error; the
    old one if none reaches it. The first three are those of ``sweep.Solve``."""
    lengths = tl.sqrt(tl.sum(others * tl.eye(len(others), **tl.context(others)), axis=0))
    lengths = tl.where(lengths > 0, lengths, tl.ones(len(lengths), **tl.context(lengths)))
    values, vectors = tl.eigh(others / lengths / tl.reshape(lengths, (-1, 1)))
    turned = tl.matmul(products / lengths, vectors)
    inverse = _inverse(tl.to_numpy(values), tl.to_numpy(tl.sum(turned**2, axis=0)), allowed)
    if inverse is None:
        return old
    return tl.matmul(turned * tl.tensor(inverse, **tl.context(turned)), tl.transpose(vectors)) / lengths


def _inverse(values: Reals, energies: Reals, allowed: float) -> Reals | None:
    """1 / (values + ridge), with the ridge at which the squared error is the allowed one; None if none is.

    values: eigenvalues v of Z^T Z, smallest first, with Z the Khatri-Rao product of the other factors; energies: c, the
    squared norms of W Z in the eigenvectors. The squared error is 1 - sum of c / v without a ridge, and the ridge 1 / u
    adds the sum of c / v / (1 + v u)^2, of which the inverse square root is concave and nearly linear in u.
    """
    kept = values > SINGULAR * values[-1]
    values, shares = values[kept], energies[kept] / values[kept]
    room = allowed - (1 - float(shares.sum()))
    if room <= 0:
        return None
    u = 0.0
    for _ in range(NEWTON):
        factors = 1 / (1 + values * u)
        added = float(shares @ factors**2)
        if added <= (1 + PRECISE) * room:
            break
        u += ((added / room) ** 0.5 - 1) * added / float(shares @ (values * factors**3))
    inverse = np.zeros(len(kept))
    inverse[kept] = u / (values * u + 1)
    return inverse
