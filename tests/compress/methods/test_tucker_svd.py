"""Tucker-2 and SVD against linear algebra and TensorLy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorly as tl
from tensorly.decomposition import partial_tucker

from rankline.src.compress import methods


@pytest.mark.filterwarnings("ignore:Trying to compute SVD")
@pytest.mark.parametrize(("kernel", "inputs", "outputs"), [((3, 3), 8, 12), ((1, 1), 6, 9), ((5,), 7, 4)])
def test_tucker_is_as_good_as_partial_tucker(kernel: tuple[int, ...], inputs: int, outputs: int) -> None:
    rng = np.random.default_rng(1)
    tucker = methods.get("tucker")
    modes = [len(kernel), len(kernel) + 1]
    frames = [np.linalg.qr(rng.standard_normal((size, size)))[0] for size in (inputs, outputs)]
    decay = np.multiply.outer(0.7 ** np.arange(inputs), 0.7 ** np.arange(outputs))
    core = rng.standard_normal((*kernel, inputs, outputs)) * decay
    weights = tl.tenalg.multi_mode_dot(core, frames, modes)
    for ranks in [(1, 1), (2, 3), (4, 2), (3, 4), (inputs, 2)]:
        (theirs, factors), _ = partial_tucker(weights, rank=list(ranks), modes=modes, n_iter_max=100, tol=1e-9)
        oracle = tl.norm(weights - tl.tenalg.multi_mode_dot(theirs, factors, modes)) / tl.norm(weights)
        ours = tucker.error(weights, tucker.decompose(weights, ranks, dtype="float64"))
        assert ours <= oracle * (1 + 1e-3), ranks


def test_tucker_factors_keep_their_shapes_where_ranks_exceed_what_neighbours_feed() -> None:
    weights = np.random.default_rng(0).standard_normal((3, 8, 5))
    tucker = methods.get("tucker")
    for ranks in [(8, 1), (1, 5), (8, 5), (7, 2)]:
        left, core, right = tucker.decompose(weights, ranks, dtype="float64")
        assert (left.shape, core.shape, right.shape) == ((8, ranks[0]), (3, *ranks), (ranks[1], 5))
        np.testing.assert_allclose(left.T @ left, np.eye(ranks[0]), atol=1e-12)
        assert tucker.error(weights, [left, core, right]) <= 1


@pytest.mark.parametrize("shape", [(20, 7), (7, 20), (3, 3, 4, 6), (2, 3, 40)])
def test_svd_is_optimal_and_balanced(shape: tuple[int, ...]) -> None:
    weights = np.random.default_rng(2).standard_normal(shape)
    matrix, svd = weights.reshape(-1, shape[-1]), methods.get("svd")
    values = np.linalg.svd(matrix, compute_uv=False)
    for rank in range(1, min(matrix.shape) + 1):
        left, right = svd.decompose(weights, (rank,), dtype="float64")
        best = np.linalg.norm(values[rank:]) / np.linalg.norm(values)
        assert svd.error(weights, [left, right]) == pytest.approx(best, rel=1e-9, abs=1e-12)
        np.testing.assert_allclose(np.linalg.norm(right, axis=1) ** 2, values[:rank])
        np.testing.assert_allclose(np.linalg.norm(left.reshape(-1, rank), axis=0) ** 2, values[:rank])


def test_svd_reconstructs_a_matrix_of_tiny_and_missing_singular_values() -> None:
    rng = np.random.default_rng(3)
    u, v = (np.linalg.qr(rng.standard_normal((6, 6)))[0] for _ in range(2))
    weights = u @ np.diag([1, 1e-5, 1e-9, 1e-13, 0, 0]) @ v
    svd = methods.get("svd")
    assert svd.error(weights, svd.decompose(weights, (6,), dtype="float64")) < 1e-14
