"""VBMF against matrices of known rank and a free energy that is written down another way."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from rankline.src.compress.baselines.vbmf import vbmf_plan, vbmf_rank
from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.model.surgery import factorize
from rankline.src.dse.errors import UserError

layers = keras.layers

SHAPES = [(40, 100), (64, 64), (30, 500)]


def noisy(shape: tuple[int, int], rank: int, noise: float = 0.3, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    return np.asarray(signal + noise * rng.standard_normal(shape))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank", [1, 4, 12])
def test_a_low_rank_matrix_under_noise_gets_its_rank(shape: tuple[int, int], rank: int) -> None:
    assert vbmf_rank(noisy(shape, rank)) == rank
    assert vbmf_rank(noisy(shape, rank, noise=0)) == rank


@pytest.mark.parametrize("shape", [*SHAPES, (1, 20), (1, 1), (2, 3)])
@pytest.mark.parametrize("seed", range(3))
def test_pure_noise_gets_rank_zero(shape: tuple[int, int], seed: int) -> None:
    assert vbmf_rank(noisy(shape, 0, seed=seed)) == 0


def test_nothing_gets_rank_zero() -> None:
    assert vbmf_rank(np.zeros((4, 6))) == 0


@pytest.mark.parametrize("seed", range(5))
def test_transposing_scaling_and_dead_filters_change_nothing(seed: int) -> None:
    matrix = noisy((20, 50), 3, noise=1.5, seed=seed)
    rank = vbmf_rank(matrix)
    assert vbmf_rank(matrix.T) == vbmf_rank(1e-6 * matrix) == vbmf_rank(1e6 * matrix) == rank
    assert vbmf_rank(np.pad(matrix, ((0, 4), (0, 9)))) == rank


def reference_rank(matrix: NDArray[np.float64]) -> int:
    """The rank by brute force over noise variances, each component's posterior being found by brute force too.

    Of a component with x = gamma^2 / (M s2), the energy above that of leaving it out is, by the posterior means and
    variances that its fixed point gives (Nakajima et al., equation for the empirical VB free energy),
    log(1 + t) + a log(1 + t / a) - t, with t the larger root of x = (1 + t) (1 + a / t); it is kept where that is
    negative.
    """
    rows, columns = sorted(matrix.shape)
    alpha = rows / columns
    energies = np.linalg.svd(matrix, compute_uv=False) ** 2
    best, rank = np.inf, -1
    for variance in np.geomspace(energies.mean() / columns / 1e5, energies.mean() / columns, 20_000):
        free_energy, kept = 0.0, 0
        for x in energies / (columns * variance):
            free_energy += x - np.log(x)
            # t^2 + (1 + a - x) t + a = 0
            roots = np.roots([1, 1 + alpha - x, alpha]) if x > (1 + alpha**0.5) ** 2 else np.array([])
            gains = [np.log(1 + t) + alpha * np.log(1 + t / alpha) - t for t in roots.real if t > alpha**0.5]
            if gains and gains[0] < 0:
                free_energy += gains[0]
                kept += 1
        if free_energy < best:
            best, rank = free_energy, kept
    return rank


@pytest.mark.parametrize(("shape", "rank", "noise", "seed"), [((6, 9), 2, 0.4, 0), ((5, 20), 1, 1.5, 1)])
def test_the_rank_is_that_of_brute_force(shape: tuple[int, int], rank: int, noise: float, seed: int) -> None:
    matrix = noisy(shape, rank, noise, seed)
    assert vbmf_rank(matrix) == reference_rank(matrix)


@pytest.mark.parametrize("bad", [np.ones(3), np.full((2, 2), np.nan), np.empty((0, 3))])
def test_what_is_no_finite_matrix_is_refused(bad: NDArray[np.float64]) -> None:
    with pytest.raises(UserError, match="matrix of finite numbers"):
        vbmf_rank(bad)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A network with low-rank kernels under noise: a convolution, a 1x1, a depthwise and a dense layer."""
    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [
            keras.Input((8, 8, 16)),
            layers.Conv2D(24, 3, padding="same", name="conv"),
            layers.Conv2D(32, 1, name="pointwise"),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(20, name="dense"),
            layers.Dense(2, name="tiny"),
        ]
    )
    net.get_layer("conv").kernel.assign(noisy((3 * 3 * 16, 24), 3, 0.1).reshape(3, 3, 16, 24))
    net.get_layer("pointwise").kernel.assign(noisy((24, 32), 4, 0.1).reshape(1, 1, 24, 32))
    net.get_layer("dense").kernel.assign(noisy((32, 20), 2, 0.1))
    return net


def test_the_plan_takes_tucker_and_svd_and_says_what_it_leaves(model: keras.Model) -> None:
    plan, skipped = vbmf_plan(model)
    assert plan["conv"].method == "tucker"
    assert plan["conv"].ranks[1] == 3
    assert (plan["pointwise"].method, plan["pointwise"].ranks) == ("svd", (4,))
    assert (plan["dense"].method, plan["dense"].ranks) == ("svd", (2,))
    assert set(plan) | set(skipped) == {"conv", "pointwise", "depthwise", "dense", "tiny"}
    assert "depthwise" in skipped["depthwise"]
    assert cost_of(factorize(model, plan)).params < cost_of(model).params


def test_weakening_goes_from_full_ranks_to_those_of_vbmf(model: keras.Model) -> None:
    strong, half = vbmf_plan(model)[0]["conv"].ranks, vbmf_plan(model, weaken=0.5)[0]["conv"].ranks
    assert half == tuple(round(cap - (cap - rank) / 2) for cap, rank in zip((16, 24), strong, strict=True))
    plan, skipped = vbmf_plan(model, weaken=0)
    assert not plan
    assert "does not lower both params and FLOPs" in skipped["conv"]


def test_pure_noise_still_keeps_one_component() -> None:
    keras.utils.set_random_seed(0)
    net = keras.Sequential([keras.Input((60,)), layers.Dense(40, kernel_initializer="random_normal", name="fc")])
    assert vbmf_plan(net)[0]["fc"].ranks == (1,)


def test_only_the_named_layers_are_planned(model: keras.Model) -> None:
    assert set(vbmf_plan(model, ["dense"])[0]) == {"dense"}
    with pytest.raises(UserError, match="unknown layer 'dens'; did you mean 'dense'"):
        vbmf_plan(model, ["dens"])
    with pytest.raises(UserError, match="weaken must be a fraction"):
        vbmf_plan(model, weaken=1.5)
