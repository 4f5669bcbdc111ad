"""What eight bits make of weights and maps."""

from __future__ import annotations

import keras
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rankline.src.compress.fit.rounding import LARGEST, STEPS, eight_bits, range_of, rounded
from tests.helpers.fits import decaying

SEEDS = st.integers(0, 2**16)


def weights_of(seed: int, rows: int = 24, outputs: int = 7) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, outputs)) * np.logspace(0, 2, outputs)


@given(SEEDS)
def test_each_output_has_a_scale_of_its_own_and_no_weight_moves_by_more_than_half_a_step(seed: int) -> None:
    weights = weights_of(seed)
    scale = np.abs(weights).max(axis=0) / LARGEST
    found = eight_bits(weights)
    assert (np.abs(found - weights) <= 0.5 * scale * (1 + 1e-9)).all()
    np.testing.assert_allclose(found / scale, np.round(found / scale), atol=1e-6)


@given(SEEDS)
def test_rounded_weights_stay_as_they_are(seed: int) -> None:
    found = eight_bits(weights_of(seed))
    np.testing.assert_allclose(eight_bits(found), found, rtol=1e-12)


@settings(deadline=None)  # half a thousand rows, one after the other
@given(SEEDS)
def test_rows_that_take_up_the_errors_of_others_change_the_outputs_less(seed: int) -> None:
    weights, moment = weights_of(seed, rows=150), decaying(150, seed, decay=0.97)

    def change(rounded_weights: np.ndarray) -> float:
        error = rounded_weights - weights
        # Outputs by their own scales: each column counts alike.
        return float(np.sum(np.einsum("df,de,ef->f", error, moment, error) / np.square(weights).sum(axis=0)))

    assert change(eight_bits(weights, moment)) < 0.8 * change(eight_bits(weights))


def test_zero_weights_and_inputs_that_are_never_there_are_no_trouble() -> None:
    assert not eight_bits(np.zeros((4, 3))).any()
    assert not eight_bits(np.zeros((4, 3)), np.eye(4)).any()
    weights = weights_of(0, rows=4)
    np.testing.assert_array_equal(eight_bits(weights, np.zeros((4, 4))), eight_bits(weights))
    assert np.isfinite(eight_bits(weights, np.diag([1.0, 0, 0, 0]))).all()


@settings(deadline=None)  # the first call loads what Keras needs
@given(SEEDS)
def test_maps_have_at_most_256_values_of_which_zero_is_one(seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal((4, 9, 5)).astype(np.float32)
    x[0, 0] = 0
    low, high = range_of([x], None)
    found = keras.ops.convert_to_numpy(rounded(keras.ops.convert_to_tensor(x), low, high))
    step = (high - low) / STEPS
    assert len(np.unique(found)) <= STEPS + 1
    assert not found[0, 0].any()
    inside = (x > low + step) & (x < high - step)
    assert np.abs(found - x)[inside].max() <= 0.5 * step * 1.01


def test_a_range_begins_where_the_activation_after_it_does() -> None:
    x = np.linspace(-3, 2, 1000, dtype=np.float32)
    assert range_of([x], 0.0)[0] == 0
    assert range_of([x]) == (-3, 2)


def test_a_range_without_extent_rounds_nothing() -> None:
    x = np.zeros((2, 3), np.float32)
    assert range_of([x]) == (0, 0)
    assert not keras.ops.convert_to_numpy(rounded(keras.ops.convert_to_tensor(x), 0.0, 0.0)).any()
