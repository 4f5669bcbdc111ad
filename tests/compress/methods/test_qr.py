"""Pivoted QR against SciPy: its factors, and the error of every rank before any is made."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import qr

from rankline.src.compress import methods
from rankline.src.dse.errors import UserError

SHAPES = [(30, 12), (12, 30), (9, 9), (1, 1, 8, 13), (1, 20, 7)]


def decaying(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A random kernel whose singular values fall by 0.8 each."""
    rng = np.random.default_rng(seed)
    u, _, v = np.linalg.svd(rng.standard_normal((shape[-2], shape[-1])), full_matrices=False)
    return (u * 0.8 ** np.arange(len(v)) @ v).reshape(shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_factors_are_scipys_cut_after_r_columns(shape: tuple[int, ...]) -> None:
    weights = decaying(shape)
    basis, triangle, pivots = qr(weights.reshape(shape[-2:]), mode="economic", pivoting=True)
    for rank in (1, 3, min(shape[-2:])):
        left, right = methods.get("qr").decompose(weights, (rank,), dtype="float64")
        assert left.shape == (*shape[:-1], rank)
        np.testing.assert_allclose(left.reshape(-1, rank), basis[:, :rank], atol=1e-12)
        np.testing.assert_allclose(right[:, pivots], triangle[:rank], atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_table_is_the_error_of_every_rank(shape: tuple[int, ...]) -> None:
    weights, method = decaying(shape), methods.get("qr")
    (table,) = method.spectrum(weights).values()
    assert table.certainty == "exact"
    assert table.tables[0].shape == (min(shape[-2:]),)
    for rank in range(1, min(shape[-2:]) + 1):
        error = method.error(weights, method.decompose(weights, (rank,), dtype="float64"))
        assert table.error((rank,)) == pytest.approx(error, rel=1e-9, abs=1e-12)


def test_error_is_never_below_the_svds_nor_far_above() -> None:
    weights = decaying((40, 40))
    (ours,), (best,) = (methods.get(name).spectrum(weights).values() for name in ("qr", "svd"))
    ratios = [ours.error((rank,)) / best.error((rank,)) for rank in range(1, 35)]
    assert min(ratios) >= 1
    assert max(ratios) < 3


def test_a_kernel_of_low_rank_has_no_error_beyond_it() -> None:
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((20, 3)) @ rng.standard_normal((3, 15))
    (table,) = methods.get("qr").spectrum(weights).values()
    assert table.error((2,)) > 0.01
    assert table.error((3,)) < 1e-12


def test_kernels_that_are_no_matrices_are_refused() -> None:
    with pytest.raises(UserError, match="QR factorizes matrices; use Tucker, CP, TT or SVD"):
        methods.get("qr").decompose(np.ones((3, 3, 4, 5)), (2,))
    with pytest.raises(UserError, match=r"from 1 to \(4,\)"):
        methods.get("qr").decompose(np.ones((4, 5)), (5,))


def test_zero_and_nan_weights() -> None:
    method = methods.get("qr")
    assert not method.reconstruct(method.decompose(np.zeros((4, 6)), (2,))).any()
    assert not method.spectrum(np.zeros((4, 6)))[None].tables[0].any()
    with pytest.raises(UserError, match="NaN or infinity"):
        method.spectrum(np.full((4, 6), np.nan))
