"""A study of a network that knows digits, from end to end."""

from __future__ import annotations

from itertools import product

import keras
import numpy as np
import pytest

from rankline.src.compress.data.sets import Data, load
from rankline.src.compress.precision_study.rows import ORIGINAL, PrecisionStudy
from rankline.src.compress.precision_study.settings import PrecisionSettings
from rankline.src.compress.precision_study.study import study_precisions
from rankline.src.dse.errors import UserError
from tests.helpers.digits_net import digits_net, trained_on

pytestmark = pytest.mark.runtimes

PRECISIONS = ("f32", "int8")

SETTINGS = PrecisionSettings((0.5,), ("svd", "cp", "qr"), PRECISIONS, "onnx", samples=64, test_samples=100)


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits")


@pytest.fixture(scope="module")
def found(digits: Data) -> PrecisionStudy:
    return study_precisions(trained_on(digits), digits, SETTINGS)


def test_every_plan_is_there_at_every_precision_asked(found: PrecisionStudy) -> None:
    there = [(one.method, one.filed.precision) for one in found.pairs]
    assert there == list(product((ORIGINAL, "svd", "cp"), PRECISIONS))
    assert found.samples == 100


def test_the_original_loses_nothing_in_floats(found: PrecisionStudy) -> None:
    first = found.pairs[0]
    assert (first.method, first.filed.precision) == (ORIGINAL, "f32")
    assert (first.factorization, first.rounding, first.both, first.deviation) == (0, 0, 0, 0)
    assert (first.filed.params, first.filed.flops) == (1, 1)
    assert first.filed.float_score > 0.9


def test_losses_are_differences_from_the_originals_score(found: PrecisionStudy) -> None:
    original = {one.filed.precision: one.filed for one in found.pairs if one.method == ORIGINAL}
    before = original["f32"].float_score
    for one in found.pairs:
        filed = one.filed
        assert one.factorization == before - filed.float_score
        assert one.rounding == before - original[filed.precision].score
        assert one.both == before - filed.score
        assert one.deviation == one.both - (one.factorization + one.rounding)
        assert filed.is_fitted is (filed.precision == "int8")
        assert one.method == ORIGINAL or filed.flops <= 0.5
    assert found.independence is not None
    assert found.independence.count == 2


def test_what_cannot_be_kept_is_left_out_with_the_reason(found: PrecisionStudy) -> None:
    (reason,) = found.left_out
    assert reason.startswith("qr, allocated, 50.0 % of the flops: a budget of ")


def test_baselines_say_what_was_done(found: PrecisionStudy) -> None:
    assert [(one.way, one.filed.is_fitted) for one in found.baselines] == [
        ("the original, not fitted", False),
        ("the original, fitted to what is rounded", True),
        ("plan by FLOPs alone, not fitted", False),
        ("plan by FLOPs alone, fitted to what is rounded", True),
        ("plan with rounding in the damage, fitted to what is rounded", True),
        ("filters pruned by L1, fine-tuned for 1 epoch with labels, not fitted", False),
    ]
    assert all(one.filed.flops <= 0.5 for one in found.baselines if one.share is not None)


def test_remedies_make_the_terms_of_cp_smaller(found: PrecisionStudy) -> None:
    plain, small, balanced, fitted = found.remedies
    assert plain.growth > small.growth == pytest.approx(balanced.growth, rel=1e-3)
    assert fitted.filed.is_fitted
    assert not plain.filed.is_fitted


def test_no_labels_and_models_that_have_no_file_are_told(digits: Data) -> None:
    with pytest.raises(UserError, match="got inputs without labels"):
        study_precisions(digits_net(), np.zeros((40, 8, 8, 1), np.float32), SETTINGS)
    given = keras.Input((8, 8, 1))
    flat = keras.layers.Dense(10, name="classes")(keras.layers.Flatten()(keras.ops.erfinv(given / 17)))
    with pytest.raises(UserError, match="Erfinv"):
        study_precisions(keras.Model(given, flat, name="odd"), digits, SETTINGS)
