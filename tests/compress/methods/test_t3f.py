"""T3F against the t3f library: the cores, and the error of every configuration before any is made."""

from __future__ import annotations

from math import prod
from typing import Any

import keras
import numpy as np
import pytest

from rankline.src.compress import methods
from rankline.src.compress.methods.t3f import LARGEST_SIDE, modes_of
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import dense
from rankline.src.dse.options import Options
from rankline.src.dse.space import Space
from rankline.src.dse.symbols import layer_shape

needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the t3f library needs the TensorFlow backend"
)
T3F = methods.get("t3f")


def kernel(inputs: int, outputs: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((inputs, outputs))


def t3f_cores(weights: np.ndarray, shape: str, ranks: tuple[int, ...]) -> list[np.ndarray]:
    """What the library makes of it: its matrices have the outputs as rows."""
    t3f = pytest.importorskip("t3f")
    import tensorflow as tf

    train = t3f.to_tt_matrix(tf.constant(weights.T), modes_of(shape), max_tt_rank=[1, *ranks, 1])
    return [core.numpy() for core in train.tt_cores]


def random_ranks(shape: str, rng: np.random.Generator) -> tuple[int, ...]:
    outputs, inputs = modes_of(shape)
    sizes = [m * n for m, n in zip(outputs, inputs, strict=True)]
    caps = [min(prod(sizes[:cut]), prod(sizes[cut:])) for cut in range(1, len(sizes))]
    return tuple(int(rng.integers(1, cap + 1)) for cap in caps)


@needs_tensorflow
@pytest.mark.parametrize("shape", ["6x6:4x6", "18x2:2x12", "2x18:12x2", "3x3x2x2:2x2x2x3", "2x2x3x3:2x2x3x2"])
def test_reconstruction_is_the_librarys(shape: str) -> None:
    weights, rng = kernel(24, 36), np.random.default_rng(1)
    for _ in range(5):
        ranks = random_ranks(shape, rng)
        ours, theirs = T3F.decompose(weights, ranks, shape, "float64"), t3f_cores(weights, shape, ranks)
        np.testing.assert_allclose(T3F.reconstruct(ours), T3F.reconstruct(theirs), atol=1e-10)


@needs_tensorflow
@pytest.mark.parametrize("shape", ["4x3x3:2x3x4", "6x3x2:2x2x6"])
def test_three_cores_are_within_five_percent_of_the_librarys(shape: str) -> None:
    """Projected from both sides, and so known beforehand, where the library projects one cut after the other."""
    weights = kernel(24, 36)
    for ranks in [(2, 3), (3, 5), (4, 4)]:
        ours, theirs = T3F.decompose(weights, ranks, shape, "float64"), t3f_cores(weights, shape, ranks)
        assert [core.shape for core in ours] == [core.shape for core in theirs]
        assert T3F.error(weights, ours) <= 1.05 * T3F.error(weights, theirs)


@needs_tensorflow
def test_reconstruct_is_the_librarys_full_matrix() -> None:
    t3f = pytest.importorskip("t3f")
    cores = t3f_cores(kernel(24, 36), "4x3x3:2x3x4", (3, 4))
    matrix = t3f.full(t3f.TensorTrain(cores, modes_of("4x3x3:2x3x4"), (1, 3, 4, 1))).numpy()
    np.testing.assert_allclose(T3F.reconstruct(cores), matrix.T, atol=1e-12)


@pytest.mark.parametrize("weights", [kernel(24, 36), kernel(16, 4), kernel(12, 32).reshape(1, 1, 12, 32)])
def test_tables_of_two_and_three_cores_are_the_errors(weights: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    for shape, table in T3F.spectrum(weights, Options(t3f_order="all")).items():
        assert table.certainty == "exact"
        for _ in range(3):
            ranks = random_ranks(str(shape), rng)
            error = T3F.error(weights, T3F.decompose(weights, ranks, shape, "float64"))
            assert table.error(ranks) == pytest.approx(error, abs=1e-7), (shape, ranks)


@pytest.mark.parametrize("cores", [4, 5])
def test_tables_of_more_cores_are_never_below_the_errors(cores: int) -> None:
    weights, rng = kernel(32, 48), np.random.default_rng(3)
    tables = T3F.spectrum(weights, Options(t3f_cores=(cores,), t3f_order="all"))
    for shape, table in list(tables.items())[::7]:
        assert table.certainty == "bound"
        for _ in range(3):
            ranks = random_ranks(str(shape), rng)
            factors = T3F.decompose(weights, ranks, shape, "float64")
            assert [core.shape[-1] for core in factors[:-1]] == list(ranks)
            assert T3F.error(weights, factors) <= table.error(ranks) + 1e-7, (shape, ranks)


def test_tables_have_the_caps_of_the_space() -> None:
    options = Options(t3f_cores=(2, 3, 4))
    branches = Space("t3f", layer_shape(dense("fc", 32, 48)), options).branches
    tables = T3F.spectrum(kernel(32, 48), options)
    assert tables.keys() == {branch.shape for branch in branches}
    for branch in branches:
        table, caps = tables[branch.shape], branch.polynomials.caps
        sizes = table.tables[0].shape if table.is_grid else tuple(len(tail) for tail in table.tables)
        assert sizes == caps


def test_full_rank_is_the_kernel() -> None:
    weights = kernel(24, 36)
    for shape, ranks in [("6x6:4x6", (24,)), ("4x3x3:2x3x4", (8, 12)), ("3x3x2x2:2x2x2x3", (6, 24, 6))]:
        assert T3F.error(weights, T3F.decompose(weights, ranks, shape, "float64")) < 1e-12


def test_shapes_with_large_eigenproblems_stay_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LARGEST_SIDE == 2048
    monkeypatch.setattr("rankline.src.compress.methods.t3f.LARGEST_SIDE", 12)
    shapes = T3F.spectrum(kernel(16, 16))
    assert "4x4:4x4" not in shapes
    assert "8x2:2x8" not in shapes  # a cap of 16 at its only cut
    assert "4x2x2:2x2x4" in shapes


def test_equal_weights_by_other_shapes_share_their_cuts() -> None:
    """The same cut gives the same frame, so the two-sided grid is the tail of d = 2 where one end is whole."""
    weights = kernel(24, 36)
    tables = T3F.spectrum(weights, Options(t3f_order="all"))
    (tail,), (grid,) = tables["4x9:2x12"].tables, tables["4x3x3:2x3x4"].tables
    np.testing.assert_allclose(grid[:, -1], tail, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("4x8", "written as output modes, then input modes"),
        ("4xa:8x4", "like 4x8:8x4; got '4xa:8x4'"),
        (None, "got None"),
        ("4x8:32", "not possible for 32 outputs and 32 inputs"),
        ("4x4:8x4", "not possible for 32 outputs and 32 inputs"),
        ("32x1:8x4", "factors of 2 or more"),
        ("32:32", "at least two"),
    ],
)
def test_bad_shape_texts_are_refused(shape: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        T3F.decompose(kernel(32, 32), (2,), shape)


def test_bad_ranks_and_kernels_are_refused() -> None:
    with pytest.raises(UserError, match=r"from 1 to \(32,\); got \(33,\)"):
        T3F.decompose(kernel(32, 32), (33,), "4x8:8x4")
    with pytest.raises(UserError, match="takes 1 rank"):
        T3F.decompose(kernel(32, 32), (3, 3), "4x8:8x4")
    with pytest.raises(UserError, match="7 has none"):
        T3F.decompose(kernel(32, 7), (2,), "7:32")
    with pytest.raises(UserError, match="T3F factorizes matrices"):
        T3F.decompose(np.ones((3, 3, 4, 4)), (2,), "2x2:2x2")


def test_zero_and_nan_weights() -> None:
    assert not T3F.reconstruct(T3F.decompose(np.zeros((4, 6)), (2,), "3x2:2x2")).any()
    assert T3F.spectrum(np.zeros((4, 6)))["3x2:2x2"].error((1,)) == 0
    with pytest.raises(UserError, match="NaN or infinity"):
        T3F.spectrum(np.full((4, 6), np.inf))
