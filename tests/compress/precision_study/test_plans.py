"""The plans of a study keep what was asked, and the published ones prefer later layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from rankline.src.compress.budget.calibrated_model import CalibratedModel
from rankline.src.compress.data.sets import load
from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.precision_study.later_first import RATIO, later_first
from rankline.src.compress.precision_study.plans import LATER_FIRST, PUBLISHED, VBMF, allocated, asked_plans
from rankline.src.compress.precision_study.pruned import mended, pruned_to
from rankline.src.compress.precision_study.settings import PrecisionSettings
from rankline.src.compress.training.task import Task
from rankline.src.dse.errors import UserError
from tests.helpers.digits_net import digits_net


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """With random weights."""
    keras.utils.set_random_seed(2)
    return digits_net()


@pytest.fixture(scope="module")
def engine(model: keras.Model) -> CalibratedModel:
    samples = np.random.default_rng(0).random((64, 8, 8, 1), np.float32) * 16
    return CalibratedModel(model, [samples], ("flops", "params"), methods=["tucker", "svd", "qr"])


@pytest.mark.parametrize("method", ["tucker", "svd"])
def test_a_plan_is_of_one_method_and_keeps_the_share(engine: CalibratedModel, method: str) -> None:
    plan = allocated(engine, method, "flops", 0.5)
    assert {one.method for one in plan.values()} == {method}
    assert cost_of(engine.made(plan)).flops <= 0.5 * engine.total.flops


def test_a_share_that_a_method_cannot_keep_is_told(engine: CalibratedModel) -> None:
    with pytest.raises(UserError, match="below what is possible with these methods"):
        allocated(engine, "qr", "flops", 0.3)


def test_later_layers_come_first_and_no_more_of_them_than_needed(engine: CalibratedModel) -> None:
    convolutions = ["stem", "conv", "branch"]
    mild, strong = (later_first(engine, "tucker", "flops", share) for share in (0.8, 0.4))
    assert list(mild) == ["branch"]
    assert list(strong) == [path for path in reversed(convolutions) if path in strong]
    assert len(strong) > len(mild)
    for share, plan in ((0.8, mild), (0.4, strong)):
        assert cost_of(engine.made(plan)).flops <= share * engine.total.flops
        for path, choice in plan.items():
            options = {one.configuration: one.cost.flops for one in engine.options[path]}
            assert options[choice] <= RATIO * share * options[None]
    with pytest.raises(UserError, match=r"all layers together keep [\d,]+ flops, above the"):
        later_first(engine, "tucker", "flops", 0.02)


def test_all_plans_are_asked_for_and_the_published_ones_of_tucker_alone(engine: CalibratedModel) -> None:
    asked = list(asked_plans(engine, PrecisionSettings(keep=(0.5, 0.7))))
    assert {one.method for one in asked} == {"tucker", "svd", "qr"}
    assert {one.method for one in asked if one.ranks in (LATER_FIRST, VBMF)} == {PUBLISHED}
    assert len({one.told for one in asked}) == len(asked) == 3 * 2 + 3 * 2 + 1


def test_filters_are_pruned_to_a_share_of_the_flops(model: keras.Model) -> None:
    whole = cost_of(model).flops
    for share in (0.3, 0.6):
        assert 0.7 * share * whole < cost_of(pruned_to(model, share)).flops <= share * whole
    with pytest.raises(UserError, match="doesn't bring it to 0.1 % of the FLOPs"):
        pruned_to(model, 0.001)


def test_what_is_done_to_a_pruned_model_is_told(model: keras.Model) -> None:
    data, made = load("digits"), pruned_to(model, 0.5)
    moments = made.get_layer("norm").get_weights()[2:]
    said = mended(made, data, Task(), [data.x_train[:64]], 0, 0)
    assert said == "BatchNorm moments re-estimated, not trained"
    assert not np.allclose(moments[0], made.get_layer("norm").get_weights()[2])
    assert mended(made, data, Task(), [data.x_train[:64]], 1, 0) == "fine-tuned for 1 epoch with labels"
