"""TT and spatial SVD against TensorLy and linear algebra, and their error tables against decompositions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import tensorly as tl
from numpy.typing import NDArray
from tensorly.decomposition import tensor_train

from rankline.src.compress import methods
from rankline.src.dse.error_table import ErrorTable
from rankline.src.dse.layer import conv
from rankline.src.dse.options import Options
from rankline.src.dse.space import Space
from rankline.src.dse.symbols import layer_shape
from tests.compress.methods.test_cp import decaying

TT, SPATIAL = methods.get("tt"), methods.get("spatial_svd")
SHAPES = [(3, 3, 8, 12), (5, 9, 7), (2, 3, 2, 6, 5), (3, 1, 12, 4), (4, 2, 3, 20), (1, 3, 2, 5, 30)]


def caps(method: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    layer = conv("kernel", shape[:-2], *shape[-2:], in_size=shape[:-2])
    return Space(method, layer_shape(layer), Options()).branches[0].polynomials.caps


def some_ranks(method: str, shape: tuple[int, ...], count: int = 12, seed: int = 0) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(seed)
    return [tuple(int(rng.integers(1, cap + 1)) for cap in caps(method, shape)) for _ in range(count)]


def error_of(method: str, weights: NDArray[np.float64], ranks: tuple[int, ...]) -> float:
    decomposition = methods.get(method)
    return decomposition.error(weights, decomposition.decompose(weights, ranks, dtype="float64"))


def table_of(method: str, weights: NDArray[np.float64]) -> ErrorTable:
    (table,) = methods.get(method).spectrum(weights).values()
    return table


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(2))
def test_tt_is_at_least_as_good_as_tensor_train(shape: tuple[int, ...], seed: int) -> None:
    weights = decaying(shape, seed)
    tensor = np.moveaxis(weights, -2, 0).reshape(shape[-2], *(size for size in shape[:-2] if size > 1), shape[-1])
    for ranks in some_ranks("tt", shape, seed=seed):
        modes = tensor.shape
        if any(
            right > left * n or left > right * n for (left, right), n in zip(pairwise(ranks), modes[1:], strict=False)
        ):
            continue  # ranks that neighbours can't feed: tensor_train gives back fewer
        oracle = tl.tt_to_tensor(tensor_train(tensor, [1, *ranks, 1]))
        theirs = np.linalg.norm(tensor - oracle) / np.linalg.norm(tensor)
        assert error_of("tt", weights, ranks) <= theirs + 1e-9, ranks


@pytest.mark.parametrize("shape", SHAPES)
def test_tt_factors_keep_their_shapes_and_orthonormal_ends_whatever_the_ranks(shape: tuple[int, ...]) -> None:
    weights = decaying(shape)
    sizes = [size for size in shape[:-2] if size > 1]
    for ranks in some_ranks("tt", shape):
        left, *cores, right = TT.decompose(weights, ranks, dtype="float64")
        bounds = pairwise(ranks)
        assert [core.size for core in cores] == [k * a * b for k, (a, b) in zip(sizes, bounds, strict=True)]
        for end in (left.T @ left, right @ right.T):
            filled = np.diag(end)
            np.testing.assert_allclose(end, np.diag(filled), atol=1e-10)
            assert ((abs(filled - 1) < 1e-10) | (filled < 1e-10)).all()


@pytest.mark.parametrize("shape", [(5, 9, 7), (3, 1, 12, 4), (1, 3, 2, 5), (3, 30, 8)])
def test_tt_of_two_ranks_has_the_error_of_the_hosvd_frames_or_a_little_less(shape: tuple[int, ...]) -> None:
    weights = decaying(shape)
    table = table_of("tt", weights)
    assert (table.certainty, table.tables[0].shape) == ("exact", caps("tt", shape))
    squeezed = weights.reshape(-1, *shape[-2:])
    frames = [np.linalg.svd(np.moveaxis(squeezed, axis, 0).reshape(shape[axis], -1))[0] for axis in (-2, -1)]
    for first, last in some_ranks("tt", shape):
        u, v = frames[0][:, :first], frames[1][:, :last]
        truth = np.linalg.norm(squeezed - u @ (u.T @ squeezed @ v) @ v.T) / np.linalg.norm(squeezed)
        assert table.error((first, last)) == pytest.approx(truth, rel=1e-5, abs=1e-7)
        reached = error_of("tt", weights, (first, last))
        assert 0.9 * truth - 1e-7 <= reached <= truth * (1 + 1e-9) + 1e-7


@pytest.mark.parametrize("shape", [(3, 3, 8, 12), (2, 3, 2, 6, 5), (4, 2, 3, 20)])
def test_the_bound_of_tt_is_never_below_the_error(shape: tuple[int, ...]) -> None:
    weights = decaying(shape)
    table = table_of("tt", weights)
    assert table.certainty == "bound"
    assert tuple(map(len, table.tables)) == caps("tt", shape)
    for ranks in some_ranks("tt", shape, 20):
        bound, truth = table.error(ranks), error_of("tt", weights, ranks)
        assert truth <= bound + 1e-9
        assert bound <= len(ranks) ** 0.5 * truth * 1.05 + 1e-7, "a TT of each rank alone leaves each tail at least"


@pytest.mark.parametrize("shape", [(3, 3, 8, 12), (4, 2, 3, 20), (1, 3, 2, 5, 30), (3, 9, 7), (2, 3, 2, 6, 5)])
def test_exact_errors_of_a_short_list_are_reached_and_below_the_bound(shape: tuple[int, ...]) -> None:
    weights = decaying(shape)
    ranks = some_ranks("tt", shape, 15)
    for choice, exact in zip(ranks, TT.exact_errors(weights, ranks), strict=True):
        reached = error_of("tt", weights, choice)
        assert exact <= table_of("tt", weights).error(choice) * (1 + 1e-9) + 1e-9
        assert 0.9 * exact - 1e-7 <= reached <= exact * 1.001 + 1e-7, choice


def test_exact_errors_are_those_of_the_frames_of_both_ends() -> None:
    weights = decaying((3, 3, 8, 12))
    tensor = np.moveaxis(weights, 2, 0)
    u, v = (np.linalg.svd(np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1))[0] for axis in (0, 3))
    for first, middle, last in some_ranks("tt", (3, 3, 8, 12)):
        core = np.einsum("cklf,ca,fb->aklb", tensor, u[:, :first], v[:, :last])
        values = np.linalg.svd(core.reshape(first * 3, 3 * last), compute_uv=False)
        truth = np.sqrt(max(0.0, 1 - (values[:middle] ** 2).sum() / (tensor**2).sum()))
        assert TT.exact_errors(weights, [(first, middle, last)])[0] == pytest.approx(truth, abs=1e-6)


@pytest.mark.parametrize("shape", [(3, 3, 8, 12), (2, 5, 6, 4), (3, 1, 2, 4, 5), (1, 2, 3, 9, 5)])
def test_spatial_svd_is_optimal_at_every_rank_and_its_table_says_so(shape: tuple[int, ...]) -> None:
    weights = decaying(shape)
    (k1, k2), (inputs, outputs) = (size for size in shape[:-2] if size > 1), shape[-2:]
    matrix = weights.reshape(k1, k2, inputs, outputs).transpose(0, 2, 1, 3).reshape(k1 * inputs, -1)
    values = np.linalg.svd(matrix, compute_uv=False)
    table = table_of("spatial_svd", weights)
    assert table.certainty == "exact"
    assert table.tables[0].shape == caps("spatial_svd", shape)
    for rank in range(1, len(values) + 1):
        best = np.linalg.norm(values[rank:]) / np.linalg.norm(values)
        assert table.error((rank,)) == pytest.approx(best, rel=1e-5, abs=1e-7)
        assert error_of("spatial_svd", weights, (rank,)) == pytest.approx(best, rel=1e-5, abs=1e-7)
    left, right = SPATIAL.decompose(weights, (3,), dtype="float64")
    np.testing.assert_allclose(np.linalg.norm(left.reshape(-1, 3), axis=0) ** 2, values[:3])
    np.testing.assert_allclose((right**2).sum(axis=(*range(len(shape) - 2), -1)), values[:3])
