"""CP against TensorLy's parafac, and its error table against fits and explicit slices."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.typing import NDArray
from tensorly.decomposition import parafac

from rankline.src.compress import methods
from rankline.src.compress.methods.cp import ConvergenceWarning
from rankline.src.compress.methods.numerics.als import fit
from rankline.src.compress.methods.numerics.slices import slice_svd
from rankline.src.dse.error_table import ErrorTable

CP = methods.get("cp")
SHAPES = [(3, 3, 8, 12), (5, 9, 7), (2, 3, 2, 6, 5), (3, 1, 6, 8)]

pytestmark = pytest.mark.filterwarnings("ignore::rankline.src.compress.methods.cp.ConvergenceWarning")


def decaying(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float64]:
    """A random kernel whose channels' energies fall as those of trained ones do."""
    rng = np.random.default_rng(seed)
    *_, inputs, outputs = shape
    frames = [np.linalg.qr(rng.standard_normal((size, size)))[0] for size in (inputs, outputs)]
    scales = np.multiply.outer((1.0 + np.arange(inputs)) ** -0.7, (1.0 + np.arange(outputs)) ** -0.7)
    return frames[0] @ (rng.standard_normal(shape) * scales) @ frames[1]


def of_rank(rank: int, shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    *kernel, inputs, outputs = shape
    columns = [rng.standard_normal((size, rank)) for size in (*kernel, inputs, outputs)]
    letters = "uvxyz"[: len(columns)]
    return np.einsum(",".join(f"{letter}r" for letter in letters) + f"->{letters}", *columns)


@pytest.mark.filterwarnings("ignore:Trying to compute SVD")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(2))
def test_error_is_at_most_parafacs(shape: tuple[int, ...], seed: int) -> None:
    weights = decaying(shape, seed)
    for rank in (1, 3, 8):
        _, errors = parafac(weights, rank, n_iter_max=100, init="svd", tol=1e-8, random_state=0, return_errors=True)
        ours = CP.error(weights, CP.decompose(weights, (rank,), dtype="float64"))
        assert ours <= float(errors[-1]) * 1.01, rank


@pytest.mark.parametrize("shape", SHAPES)
def test_a_kernel_of_low_rank_is_found(shape: tuple[int, ...]) -> None:
    weights = of_rank(2, shape)
    factors = CP.decompose(weights, (2,), dtype="float64")
    assert CP.error(weights, factors) < 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_columns_of_a_term_are_equally_long(shape: tuple[int, ...]) -> None:
    left, *spatial, right = CP.decompose(decaying(shape), (4,), dtype="float64")
    columns = [left, *(one.reshape(-1, 4) for one in spatial), right.T]
    assert len(columns) == 2 + sum(size > 1 for size in shape[:-2])
    lengths = np.linalg.norm(columns[0], axis=0)
    for factor in columns[1:]:
        np.testing.assert_allclose(np.linalg.norm(factor, axis=0), lengths)


@pytest.mark.parametrize("shape", [(3, 3, 8, 12), (5, 9, 7), (2, 3, 2, 6, 5)])
def test_the_slices_terms_have_the_error_that_bounds_als(shape: tuple[int, ...]) -> None:
    weights = decaying(shape)
    slices = slice_svd(weights)
    bound = slices.bound()
    assert len(bound) == np.prod(shape[:-2]) * min(shape[-2:])
    for rank in (1, 2, 5, 11, len(bound)):
        left, *spatial, right = terms = slices.terms(rank)
        kernel = [
            basis.reshape(*(-1 if j == i else 1 for j in range(len(spatial))), rank) for i, basis in enumerate(spatial)
        ]
        factors = [left, *kernel, right.T]
        assert CP.error(weights, factors) ** 2 == pytest.approx(bound[rank - 1], abs=1e-12)
        if rank < len(bound):
            assert fit(weights, terms).error <= bound[rank - 1] ** 0.5


def test_the_fits_own_error_is_the_true_one() -> None:
    weights = decaying((3, 3, 16, 24))
    found = fit(weights, slice_svd(weights).terms(20))
    left, *spatial, right = found.factors
    kernel = [spatial[0][:, None, :], spatial[1][None, :, :]]
    assert CP.error(weights, [left, *kernel, right.T]) == pytest.approx(found.error, rel=1e-4)


@pytest.mark.parametrize("shape", [(3, 3, 24, 32), (3, 64, 48), (3, 3, 3, 12, 16), (1, 5, 32, 24)])
@pytest.mark.parametrize("gaussian", [False, True])
def test_the_table_is_close_to_what_decompose_gets(shape: tuple[int, ...], gaussian: bool) -> None:
    weights = np.random.default_rng(0).standard_normal(shape) if gaussian else decaying(shape)
    (table,) = CP.spectrum(weights).values()
    assert table.certainty == "estimate"
    assert all((np.diff(column) <= 0).all() for column in (*table.tables, *table.limits))
    most = weights.size // (sum(shape) - shape.count(1))
    for share in (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5):
        rank = max(1, round(share * most))
        truth = CP.error(weights, CP.decompose(weights, (rank,), dtype="float64"))
        assert table.error((rank,)) == pytest.approx(truth, rel=0.15), share
        assert_between(table, rank, truth)


def assert_between(table: ErrorTable, rank: int, truth: float) -> None:
    """The truth lies between the limits that are told, up to rounding."""
    ((low,), (high,)) = table.between(np.array([[rank]]))
    assert low * 0.99 - 1e-5 <= truth <= high * 1.01 + 1e-5, rank


def skewed(kind: str) -> np.ndarray:
    """Kernels whose error by CP falls unevenly."""
    rng = np.random.default_rng(1)
    weights = rng.standard_normal((3, 3, 8, 24))
    match kind:
        case "few strong filters":
            weights[..., 3:] *= 0.01
        case "few strong channels":
            weights[:, :, 2:] *= 0.02
        case "one strong tap":
            weights *= np.where(np.arange(9).reshape(3, 3, 1, 1) == 4, 1, 0.03)
        case "pruned":
            weights[rng.random(weights.shape) < 0.9] = 0
        case "low rank and noise":
            factors = [rng.standard_normal((size, 9)) for size in weights.shape]
            weights = 0.1 * weights + np.einsum("ar,br,cr,fr->abcf", *factors)
        case "falling filters":
            weights *= np.geomspace(1, 1e-3, 24)
    return weights


@pytest.mark.parametrize(
    "kind",
    [
        "few strong filters", "few strong channels", "one strong tap", "pruned", "low rank and noise",
        "falling filters",
    ],
)  # fmt: skip
def test_the_estimate_of_a_skewed_kernel_is_near_and_its_limits_hold(kind: str) -> None:
    weights = skewed(kind)
    (table,) = CP.spectrum(weights).values()
    for rank in (3, 8, 14, 17, 24, 34):
        truth = CP.error(weights, CP.decompose(weights, (rank,), dtype="float64"))
        assert truth / 1.5 - 1e-3 <= table.error((rank,)) <= truth * 1.5 + 1e-3, rank
        assert_between(table, rank, truth)


def test_a_kernel_that_few_terms_give_has_the_bound_for_a_table() -> None:
    (table,) = CP.spectrum(np.ones((3, 3, 8, 8))).values()
    assert table.certainty == "bound"
    assert table.error((1,)) < 1e-6


def test_a_fit_that_is_still_falling_warns_with_its_error() -> None:
    weights = np.random.default_rng(0).standard_normal((3, 3, 8, 8))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        CP.decompose(weights, (2,))
    with pytest.warns(ConvergenceWarning, match=r"CP of rank 20 .* after 3 sweeps; its relative error is 0\.\d{4}"):
        factors = type(CP)(sweeps=3).decompose(weights, (20,))
    assert CP.error(weights, factors) < 0.8


def test_a_rough_fit_takes_fewer_sweeps_and_comes_close() -> None:
    weights = np.random.default_rng(0).standard_normal((3, 3, 30, 30))
    rough_one = CP.rough(2**18)
    assert (rough_one.sweeps < CP.sweeps, rough_one.stable) == (True, False)
    assert (CP.rough(2**18 - 1).sweeps, CP.rough(2**18 - 1).stable) == (CP.sweeps, False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        plain = type(CP)(stable=False)
        whole, rough = (CP.error(weights, one.decompose(weights, (40,))) for one in (plain, rough_one))
    assert whole < rough < 1.03 * whole


def test_the_same_kernel_gives_the_same_factors() -> None:
    weights = decaying((3, 3, 8, 12))
    for one, other in zip(CP.decompose(weights, (6,)), CP.decompose(weights, (6,)), strict=True):
        np.testing.assert_array_equal(one, other)
