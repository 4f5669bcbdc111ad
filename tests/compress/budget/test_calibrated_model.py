"""A network under a budget, from the options to the fitted model."""

from __future__ import annotations

import warnings
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from rankline.src.compress.budget.allocate import Allocation
from rankline.src.compress.budget.calibrated_model import FITS, CalibratedModel, by_reason
from rankline.src.compress.budget.damage import VALUES
from rankline.src.compress.fit.covariance import CalibrationWarning
from rankline.src.compress.fit.refit import FitSettings
from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.model.surgery import factorize
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import METRICS
from tests.helpers.networks import distance, network, outputs_of, randomized, samples_of

layers = keras.layers

FIRST = ("svd", "spatial_svd", "tucker")

pytestmark = [
    pytest.mark.filterwarnings("ignore::rankline.src.compress.fit.covariance.CalibrationWarning"),
    pytest.mark.filterwarnings("ignore::rankline.src.compress.methods.cp.ConvergenceWarning"),
]


def small() -> keras.Model:
    x = inputs = keras.Input((6, 6, 4))
    x = layers.ReLU()(layers.Conv2D(10, 3, padding="same", name="a")(x))
    y = layers.BatchNormalization(name="n")(layers.Conv2D(10, 3, padding="same", use_bias=False, name="b")(x))
    x = layers.Flatten()(layers.ReLU()(layers.Add()([x, y])))
    return randomized(keras.Model(inputs, layers.Dense(6, activation="softmax", name="head")(x), name="small"))


@cache
def budget(
    value: str = "damage", metrics: tuple[str, ...] = ("flops",), methods: tuple[str, ...] = FIRST
) -> CalibratedModel:
    model = small()
    return CalibratedModel(model, samples_of(model), metrics, methods=methods, value=value)


@pytest.mark.parametrize("value", VALUES)
def test_a_share_is_kept_to_the_unit_and_more_never_costs_damage(value: str) -> None:
    one = budget(value)
    total = cost_of(one.model)
    assert one.total == total
    damages = []
    for share in (0.3, 0.4, 0.5, 0.7, 0.9, 1.0):
        found = one.allocate({"flops": share})
        assert found.cost.flops <= share * total.flops
        assert found.cost.flops > (share - 0.15) * total.flops
        damages.append(found.damage)
        assert cost_of(factorize(one.model, found.plan)) == found.cost
    assert damages == sorted(damages, reverse=True)
    assert one.allocate({"flops": 1.0}).plan == {}
    assert damages[-1] == 0


@pytest.mark.parametrize("metric", ["params", "flops", "memory"])
def test_numbers_and_shares_are_the_same_budget(metric: str) -> None:
    one = budget(metrics=("params", "flops", "memory"))
    limit = METRICS[metric].of(one.total) * 3 // 10
    assert one.limits({metric: 0.3}) == {metric: limit}
    share, number = one.allocate({metric: 0.5}), one.allocate({metric: one.limits({metric: 0.5})[metric]})
    assert share == number
    assert METRICS[metric].of(share.cost) <= 0.5 * METRICS[metric].of(one.total)


@pytest.mark.parametrize("share", [0.3, np.float64(0.3), np.float32(0.3), Fraction(3, 10)])
def test_a_share_may_be_of_any_type(share: Any) -> None:
    assert budget().limits({"flops": share}) == {"flops": budget().total.flops * 3 // 10}


@pytest.mark.parametrize("number", [2, np.int32(2), np.uint8(2)])
def test_a_whole_number_is_the_budget_itself_whatever_its_type(number: Any) -> None:
    found = budget().limits({"flops": number})["flops"]
    assert (found, type(found)) == (2, int)


@pytest.mark.parametrize("one", [1, 1.0, np.int64(1), np.float32(1), Fraction(1)])
def test_one_keeps_all_whatever_its_type(one: Any) -> None:
    assert budget().limits({"flops": one}) == {"flops": budget().total.flops}


def test_a_third_is_a_third() -> None:
    one = budget()
    assert one.limits({"flops": Fraction(1, 3)}) == {"flops": one.total.flops // 3}


def test_a_larger_budget_of_a_sweep_never_does_more_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    """What isn't proven the best may be worse than what was found for less: that fits too."""
    from rankline.src.compress.budget import calibrated_model as module

    one, found = budget(), module.allocate

    def worse_for_more(options: Any, budgets: Any, kept: Any, solver: str) -> Allocation:
        best = found(options, budgets, kept, solver)
        unproven = budgets["flops"] > 0.5 * one.total.flops
        return replace(best, damage=1e9, solver="price") if unproven else best

    monkeypatch.setattr(module, "allocate", worse_for_more)
    shares = (0.3, 0.4, 0.6, 0.9)
    small, middle, *larger = one.sweep([{"flops": share} for share in shares])
    assert small.damage > middle.damage
    for found_, share in zip(larger, shares[2:], strict=True):
        assert found_.plan == middle.plan
        assert found_.damage == middle.damage
        assert found_.cost.flops <= share * one.total.flops
        assert found_.bound < middle.bound


def test_two_budgets_are_both_kept() -> None:
    one = budget(metrics=("params", "flops", "memory"))
    both = one.allocate({"params": 0.5, "flops": 0.4})
    assert both.cost.params <= 0.5 * one.total.params
    assert both.cost.flops <= 0.4 * one.total.flops
    for alone in ({"params": 0.5}, {"flops": 0.4}):
        assert one.allocate(alone).damage <= both.damage * (1 + 1e-9)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"flops": 0.0},
            "a budget of flops is a share above 0 and at most 1, such as 0.5 .1 keeps all., or .*; got 0.0",
        ),
        ({"flops": 1.5}, "got 1.5"),
        ({"flops": np.float32(1.5)}, "got 1.5"),
        ({"flops": Fraction(3, 2)}, "got 3/2"),
        ({"flops": 2e6}, "or an int of at least 2, the flops themselves; got 2000000.0"),
        ({"flops": float("nan")}, "got nan"),
        ({"flops": 0}, "got 0"),
        ({"flops": -5}, "got -5"),
        ({"flops": True}, "got True"),
        ({"flops": "0.5"}, "got 0.5"),
        ({"flop": 0.5}, "unknown budget 'flop'; did you mean 'flops'"),
    ],
)
def test_budgets_that_say_nothing_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        budget().limits(given)


def test_a_budget_below_the_least_is_told_with_the_least() -> None:
    one = budget()
    with pytest.raises(UserError, match="below what is possible with these methods; the least is ([0-9,]+)") as error:
        one.allocate({"flops": 0.001})
    least = int(str(error.value).rpartition(" ")[2].replace(",", ""))
    found = one.allocate({"flops": least})
    assert found.cost.flops == least
    assert cost_of(one.fit(found.plan)).flops == least


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("methods", [FIRST, ("cp", "tt", "qr", "t3f")], ids=["closed", "measured"])
def test_the_fitted_model_costs_what_was_allocated(fit: str, methods: tuple[str, ...]) -> None:
    one = budget(methods=methods)
    found = one.allocate({"flops": 0.6})
    made = one.fit(found.plan, fit)
    assert cost_of(made) == found.cost
    assert {choice.method for choice in found.plan.values()} <= set(methods)
    assert found.plan


def test_data_fits_better_than_covariances_and_these_than_weights() -> None:
    one = budget()
    plan = one.allocate({"flops": 0.4}).plan
    wanted = outputs_of(one.model, one.samples)
    weights, whitened, data = (
        distance(outputs_of(one.fit(plan, fit), one.samples), wanted) for fit in ("weights", "whitened", "data")
    )
    assert data < whitened < weights


def test_norms_are_told_of_an_unfitted_network_on_request() -> None:
    one = budget()
    plan = {"a": Configuration("svd", (3,))}
    plain, told = (one.fit(plan, "weights", FitSettings(norms=norms)) for norms in (False, True))
    before = one.model.get_layer("n").get_weights()
    for now, was in zip(plain.get_layer("n").get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, was)
    assert np.any(told.get_layer("n").get_weights()[2] != before[2])
    apart = [distance(outputs_of(one_, one.samples), outputs_of(one_, one.samples, True)) for one_ in (told, plain)]
    assert apart[0] < 0.01 < apart[1]


def test_the_metric_can_be_left_out_of_a_fit() -> None:
    one = budget()
    plan = {"a": Configuration("svd", (3,))}
    weighed, plain = (one.fit(plan, settings=FitSettings(metric=metric)) for metric in (True, False))
    first = [made.get_layer("a_svd_in").get_weights()[0] for made in (weighed, plain)]
    assert np.any(first[0] != first[1])


def test_unknown_fits_values_metrics_and_methods_are_refused() -> None:
    model = small()
    with pytest.raises(UserError, match="unknown fit 'dat'; did you mean 'data'"):
        budget().fit({}, "dat")
    for given, message in [
        ({"value": "damages"}, "unknown value 'damages'; did you mean 'damage'"),
        ({"metrics": ("flop",)}, "unknown budget 'flop'; did you mean 'flops'"),
        ({"methods": ("tuker",)}, "unknown method 'tuker'; did you mean 'tucker'"),
    ]:
        with pytest.raises(UserError, match=message):
            CalibratedModel(model, samples_of(model, 5), **given)


def test_only_layers_that_are_included_and_not_excluded_change() -> None:
    model = small()
    samples = samples_of(model, 20)
    assert CalibratedModel(model, samples).paths == ["a", "b", "head"]
    assert CalibratedModel(model, samples, include=["[ab]"]).paths == ["a", "b"]
    assert CalibratedModel(model, samples, exclude=["head", "a"]).paths == ["b"]
    assert CalibratedModel(model, samples, include=["*"], exclude=["a"]).paths == ["b", "head"]
    for given in ({"include": ["aa"]}, {"exclude": ["heads"]}):
        with pytest.raises(UserError, match="unknown layer '(aa|heads)'.* Possible: a, b, head"):
            CalibratedModel(model, samples, **given)
    message = r"model 'small' has no layer left that can be factorized \(a, b, head: left out by include or exclude\)"
    with pytest.raises(UserError, match=message):
        CalibratedModel(model, samples, exclude=["*"])


def test_layers_out_of_reach_have_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankline.src.compress.fit.fitted_layer.LARGEST_PATCH", 31)
    inputs = keras.Input((6, 6, 4))
    twice = layers.Conv2D(4, 3, padding="same", name="twice")
    x = layers.Conv2D(8, 3, groups=2, name="grouped")(twice(twice(inputs)))
    x = layers.Conv2D(8, 1, name="fine")(layers.Conv2D(8, 1, name="out")(x))
    x = layers.Dense(5, name="wide")(layers.Flatten()(layers.DepthwiseConv2D(3, name="depthwise")(x)))
    model = randomized(keras.Model(inputs, layers.Dense(3, name="head")(x), name="many"))
    one = CalibratedModel(model, samples_of(model, 40), methods=FIRST, exclude=["out"])
    assert one.paths == ["fine", "head"]
    assert list(one.skipped) == ["twice", "grouped", "out", "depthwise", "wide"]
    assert one.skipped["twice"] == "it is called at 2 places, and only layers that are called once are fitted"
    assert "grouped convolution (groups 2)" in one.skipped["grouped"]
    assert one.skipped["out"] == "left out by include or exclude"
    assert "depthwise" in one.skipped["depthwise"].lower()
    assert one.skipped["wide"] == "its patches have 32 dimensions, and layers are fitted up to 31"
    with pytest.raises(UserError, match=r"twice: it is called at 2 places, .*; .*: left out by include"):
        CalibratedModel(model, samples_of(model, 40), methods=FIRST, include=["twice"])


def test_many_layers_of_one_reason_are_told_together() -> None:
    skipped = {**{f"depthwise_{number}": "it is kept" for number in range(7)}, "head": "it is quantized"}
    assert by_reason(skipped) == (
        "depthwise_0, depthwise_1, depthwise_2, depthwise_3, depthwise_4 and 2 more: it is kept; head: it is quantized"
    )


def test_progress_is_told_of_every_part() -> None:
    model = small()
    told: dict[str, tuple[int, int]] = {}
    one = CalibratedModel(
        model, samples_of(model), methods=FIRST, progress=lambda label, *done: told.update({label: done})
    )
    one.fit(one.allocate({"flops": 0.5}).plan)
    count = len(one.samples[0])
    assert told["samples sent back"] == (count, count)
    assert told["layers fitted"] == (3, 3)
    done, total = told["layers and methods priced"]
    assert done == total


def test_a_network_with_nothing_to_factorize_is_told() -> None:
    model = keras.Sequential([keras.Input((6, 6, 4)), layers.DepthwiseConv2D(3), layers.Flatten()], name="flat")
    with pytest.raises(UserError, match="model 'flat' has no layer left that can be factorized"):
        CalibratedModel(model, samples_of(model, 5))


@pytest.mark.parametrize("samples", [[], [np.zeros((0, 6, 6, 4))]])
def test_no_samples_are_told(samples: list[NDArray[Any]]) -> None:
    with pytest.raises(UserError, match="there are no calibration samples"):
        CalibratedModel(small(), samples)


@pytest.mark.parametrize("samples", [[np.zeros((5, 6, 6, 3))], [np.zeros((5, 6, 6, 4))] * 2, [np.zeros((5, 4))]])
def test_samples_of_another_shape_are_told(samples: list[NDArray[Any]]) -> None:
    with pytest.raises(UserError, match=r"calibration samples are of shape .*; model 'small' takes \(6, 6, 4\)"):
        CalibratedModel(small(), samples)


@pytest.mark.parametrize("value", ["energy", "damage"])
def test_activations_that_are_not_finite_are_told_by_layer(value: str) -> None:
    model = small()
    samples = samples_of(model, 20)
    model.get_layer("a").bias.assign(np.full(10, np.inf))
    with pytest.raises(UserError, match="layer 'b' gets NaN or infinity on the calibration samples"):
        _ = CalibratedModel(model, samples, methods=FIRST, value=value).options
    model, samples = small(), samples_of(small(), 20)
    samples[0][3, 0, 0, 0] = np.nan
    with pytest.raises(UserError, match="layer 'a' gets NaN or infinity"):
        _ = CalibratedModel(model, samples, methods=FIRST, value=value).options


def test_a_fit_to_samples_that_are_not_finite_is_told_by_layer() -> None:
    model = small()
    samples = samples_of(model, 20)
    samples[0][3, 0, 0, 0] = np.nan
    with pytest.raises(UserError, match="layer 'a' gets NaN or infinity"):
        CalibratedModel(model, samples, methods=FIRST).fit({"a": Configuration("svd", (3,))})


def test_too_few_samples_are_warned_of_with_the_numbers() -> None:
    model = small()
    one = CalibratedModel(model, samples_of(model, 4), methods=FIRST)
    with pytest.warns(CalibrationWarning, match="layer 'head': 4 patches of .* dimensions, .* .and . more"):
        _ = one.options


def test_enough_samples_are_not_warned_of() -> None:
    model = small()
    one = CalibratedModel(model, samples_of(model, 40), methods=FIRST, exclude=["head"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", CalibrationWarning)
        _ = one.options


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_samples_of_another_type_are_cast(dtype: str) -> None:
    model = small()
    samples = [np.clip(60 * one + 60, 0, 255).astype(dtype) for one in samples_of(model, 20)]
    as_floats = [one.astype("float32") for one in samples]
    found, wanted = (
        CalibratedModel(model, some, methods=("svd",)).allocate({"flops": 0.5}) for some in (samples, as_floats)
    )
    assert found.plan == wanted.plan
    made = CalibratedModel(model, samples, methods=("svd",)).fit(found.plan)
    assert np.isfinite(outputs_of(made, as_floats)[0]).all()


@pytest.mark.parametrize("kind", ["shared", "operations", "inner", "tokens", "gated", "unscaled", "volume"])
def test_every_kind_of_graph_is_allocated_and_fitted(kind: str) -> None:
    model, _ = network(kind)
    one = CalibratedModel(model, samples_of(model), methods=FIRST)
    found = one.allocate({"flops": 0.8})
    made = one.fit(found.plan)
    assert cost_of(made) == found.cost
    assert found.cost.flops <= 0.8 * one.total.flops
    plain = distance(outputs_of(factorize(model, found.plan), one.samples), outputs_of(model, one.samples))
    assert distance(outputs_of(made, one.samples), outputs_of(model, one.samples)) < plain


def test_the_same_seed_gives_the_same_model() -> None:
    made = []
    for _ in range(2):
        model = small()
        one = CalibratedModel(model, samples_of(model), seed=3)
        found = one.allocate({"flops": 0.5})
        made.append((found.plan, one.fit(found.plan).get_weights()))
    assert made[0][0] == made[1][0]
    for a, b in zip(made[0][1], made[1][1], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def logits_of(model: keras.Model, samples: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """The logits up to what is common to all of a sample."""
    logarithms = np.log(outputs_of(model, samples)[0].astype(np.float64) + 1e-300)
    return [logarithms - logarithms.mean(axis=1, keepdims=True)]


def test_the_prediction_ranks_plans_as_the_outputs_do() -> None:
    """Random plans: what is predicted for them, and how far their whitened outputs are from the original's."""
    from scipy.stats import spearmanr

    one = budget()
    rng = np.random.default_rng(0)
    predicted, measured = [], []
    wanted = logits_of(one.model, one.samples)
    for _ in range(20):
        chosen = {path: some[rng.integers(len(some))] for path, some in one.options.items()}
        plan = {path: option.configuration for path, option in chosen.items() if option.configuration}
        predicted.append(sum(option.damage for option in chosen.values()))
        measured.append(distance(logits_of(one.fit(plan, "whitened"), one.samples), wanted))
    assert spearmanr(predicted, measured).statistic > 0.7


def test_half_precision_is_summed_in_single() -> None:
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        inputs = keras.Input((6, 6, 3))
        x = keras.layers.Conv2D(6, 3, activation="relu", name="a")(inputs)
        x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(6, 3, name="b")(x))
        model = keras.Model(inputs, keras.layers.Dense(4, dtype="float32", name="c")(x))
    finally:
        keras.config.set_dtype_policy("float32")
    samples = [np.random.default_rng(0).normal(size=(64, 6, 6, 3)).astype(np.float32)]
    budget = CalibratedModel(model, samples, methods=["svd"])
    made = budget.fit(budget.allocate({"flops": 0.7}).plan)
    plain = factorize(model, budget.allocate({"flops": 0.7}).plan)
    fitted, unfitted = (distance(outputs_of(each, samples), outputs_of(model, samples)) for each in (made, plain))
    assert fitted < 0.5 * unfitted
