"""Surgery that keeps what a previous factorization has learnt since."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from rankline.src.compress.model.surgery import factor_chain, factorize
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError
from tests.helpers.models import MODELS, SVD, TUCKER, residual, same


def fine_tuned(model: keras.Model) -> keras.Model:
    model.set_weights([weight + 0.25 for weight in model.get_weights()])
    return model


def weights_at(model: keras.Model, path: str, choice: Configuration | None = None) -> list[NDArray[np.float32]]:
    found = factor_chain(model, path, choice) if choice else [model.get_layer(path)]
    return [weight for layer in found for weight in layer.get_weights()]


def test_keep_takes_what_does_not_change_from_the_previous_model() -> None:
    model, before = residual(), {"conv1": SVD, "conv2": TUCKER, "a": SVD}
    after = {"conv1": SVD, "conv2": Configuration("tucker", (1, 2)), "b": Configuration("svd", (1,))}
    previous = fine_tuned(factorize(model, before))
    result, fresh = factorize(model, after, keep=(previous, before)), factorize(model, after)
    assert same(weights_at(result, "conv1", SVD), weights_at(previous, "conv1", SVD)), "an unchanged choice"
    assert same(weights_at(result, "norm"), weights_at(previous, "norm")), "planned in neither"
    assert same(weights_at(result, "shortcut"), weights_at(previous, "shortcut")), "planned in neither"
    assert same(weights_at(result, "conv2", after["conv2"]), weights_at(fresh, "conv2", after["conv2"])), "changed"
    assert same(weights_at(result, "b", after["b"]), weights_at(fresh, "b", after["b"])), "newly planned"
    assert same(weights_at(result, "a"), weights_at(model, "a")), "no longer planned"


def test_keep_with_the_same_plan_copies_the_previous_model() -> None:
    for build, plan in MODELS.values():
        model = build()
        previous = fine_tuned(factorize(model, plan))
        assert same(factorize(model, plan, keep=(previous, plan)).get_weights(), previous.get_weights())


def test_keep_refuses_a_model_that_was_not_made_by_its_plan() -> None:
    model = residual()
    with pytest.raises(UserError, match="has no svd factors of layer 'conv1'"):
        factorize(model, {"conv1": SVD}, keep=(model, {"conv1": SVD}))
    with pytest.raises(UserError, match="keep: model 'branching' has no layer 'conv1'"):
        factorize(model, {}, keep=(factorize(model, {"conv1": SVD}), {}))
