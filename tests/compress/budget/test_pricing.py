"""The options of every layer against ``dse`` and against their own factors."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
import pytest

from rankline.src.compress import methods
from rankline.src.compress.budget.allocate import Option
from rankline.src.compress.budget.damage import Damage, damages_of
from rankline.src.compress.budget.pricing import priced
from rankline.src.compress.fit.fitted_layer import fitted_layers_of
from rankline.src.compress.fit.output_metric import output_metrics
from rankline.src.compress.model.forward_pass import ForwardPass
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.formula import original_cost
from rankline.src.dse.keras_model.graph import trace
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.layer import Layer
from rankline.src.dse.metric import METRICS
from rankline.src.dse.space import spaces_of
from rankline.src.dse.symbols import layer_shape
from tests.helpers.networks import network, randomized, samples_of

layers = keras.layers

EXACT = ("svd", "spatial_svd", "tucker")

pytestmark = [
    pytest.mark.filterwarnings("ignore::rankline.src.compress.fit.covariance.CalibrationWarning"),
    pytest.mark.filterwarnings("ignore::rankline.src.compress.methods.cp.ConvergenceWarning"),
]


def wide() -> keras.Model:
    """Channels enough for every method to have several configurations that are worth it."""
    x = inputs = keras.Input((5, 5, 8))
    x = layers.ReLU()(layers.Conv2D(12, 3, padding="same", name="a")(x))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(12, 1, use_bias=False, name="b")(x)))
    return randomized(keras.Model(inputs, layers.Dense(24, name="c")(layers.GlobalAveragePooling2D()(x))))


@cache
def prices(
    value: str, names: tuple[str, ...], costs: tuple[str, ...] = ("flops",)
) -> tuple[dict[str, Damage], dict[str, Layer], dict[str, list[Option]]]:
    model = wide()
    calls = trace(model)
    forward, samples = ForwardPass(calls, fitted_layers_of(calls)), samples_of(model)
    metrics = output_metrics(forward, samples) if value == "damage" else None
    damages = damages_of(model, forward, list(forward.fitted_layers), samples, value, metrics)
    shapes = {layer.name: layer for layer in describe(model).layers}
    return damages, shapes, priced(damages, shapes, names, [METRICS[name] for name in costs])


ALL = tuple(methods.DECOMPOSITIONS)


@pytest.mark.parametrize("value", ["uniform", "energy", "damage"])
def test_costs_are_those_of_dse(value: str) -> None:
    _, shapes, options = prices(value, ALL)
    used = set()
    for path, some in options.items():
        for one in some:
            if one.configuration is None:
                continue
            (space,) = spaces_of(shapes[path], (one.configuration.method,))
            (branch,) = (branch for branch in space.branches if branch.shape == one.configuration.shape)
            assert one.cost == branch.polynomials.cost(one.configuration.ranks)
            used.add(one.configuration.method)
    assert used == set(ALL)


@pytest.mark.parametrize("value", ["uniform", "energy", "damage"])
def test_as_it_is_comes_first_and_does_no_damage(value: str) -> None:
    _, shapes, options = prices(value, ALL)
    for path, (first, *others) in options.items():
        assert first == Option(None, original_cost(layer_shape(shapes[path])), 0.0)
        assert others
        assert all(one.configuration is not None and one.damage > 0 for one in others)
        assert all(one.cost.flops < first.cost.flops and one.cost.params < first.cost.params for one in others)


@pytest.mark.parametrize(
    ("value", "names"), [("energy", ALL), ("damage", ALL), ("uniform", ("svd", "spatial_svd", "qr"))]
)
def test_the_damage_is_that_of_the_factors(value: str, names: tuple[str, ...]) -> None:
    damages, _, options = prices(value, names)
    for path, some in options.items():
        for one in some[1:]:
            assert one.configuration is not None
            assert damages[path].of(damages[path].factors(one.configuration)[1]) == pytest.approx(one.damage, rel=1e-4)


def test_tables_of_the_weights_are_never_below_the_damage_of_the_factors() -> None:
    """Without data, HOOI improves on the table of Tucker-2, and that of TT is a bound."""
    damages, _, options = prices("uniform", ("tucker", "tt"))
    for path, some in options.items():
        for one in some[1:]:
            assert one.configuration is not None
            assert damages[path].of(damages[path].factors(one.configuration)[1]) <= one.damage * (1 + 1e-6)


@pytest.mark.parametrize("costs", [("flops",), ("memory",), ("params", "flops")])
@pytest.mark.parametrize("value", ["uniform", "damage"])
def test_a_front_holds_nothing_that_another_beats(value: str, costs: tuple[str, ...]) -> None:
    _, _, options = prices(value, EXACT, costs)
    for some in options.values():
        for name in EXACT:
            front = [one for one in some if one.configuration and one.configuration.method == name]
            points = np.array([[*(METRICS[metric].of(one.cost) for metric in costs), one.damage] for one in front])
            for place, point in enumerate(points):
                others = np.delete(points, place, axis=0)
                assert not ((others <= point).all(axis=1)).any()


def test_a_front_holds_the_best_at_every_cost() -> None:
    """No configuration of Tucker-2 that is useful has less damage than the front's at its cost."""
    damages, shapes, options = prices("damage", EXACT)
    (space,) = spaces_of(shapes["a"], ("tucker",))
    front = [one for one in options["a"] if one.configuration and one.configuration.method == "tucker"]
    rng = np.random.default_rng(0)
    (branch,) = space.branches
    for _ in range(100):
        ranks = tuple(int(rng.integers(1, cap + 1)) for cap in branch.polynomials.caps)
        cost = branch.polynomials.cost(ranks)
        if cost.flops >= space.original.flops:
            continue
        damage = damages["a"].of(damages["a"].factors(Configuration("tucker", ranks))[1])
        cheaper = [one.damage for one in front if one.cost.flops <= cost.flops]
        assert min(cheaper) <= damage * (1 + 1e-6)


def test_measured_methods_spread_along_the_cost_and_over_the_shapes() -> None:
    _, _, options = prices("damage", ALL)
    for path, name in [("a", "cp"), ("a", "tt"), ("b", "qr"), ("c", "t3f")]:
        some = [one for one in options[path] if one.configuration and one.configuration.method == name]
        assert len(some) >= 3, name
        shares = [one.cost.flops / options[path][0].cost.flops for one in some]
        assert min(shares) < 0.35
        assert max(shares) > 0.4
    shapes = {
        one.configuration.shape for one in options["c"] if one.configuration and one.configuration.method == "t3f"
    }
    assert len(shapes) > 1


def test_progress_is_told() -> None:
    model = wide()
    calls = trace(model)
    damages = damages_of(model, ForwardPass(calls, fitted_layers_of(calls)), ["a", "c"], value="uniform")
    told: list[tuple[str, int, int]] = []
    shapes = {layer.name: layer for layer in describe(model).layers}
    priced(damages, shapes, ("svd", "spatial_svd"), progress=lambda *given: told.append(given))
    assert [done for _, done, _ in told] == [1, 2, 3]
    assert {total for _, _, total in told} == {3}


@pytest.mark.parametrize("dead", ["weights", "inputs"])
def test_dead_layers_cost_nothing_at_any_rank(dead: str) -> None:
    model, _ = network("identity")
    calls = trace(model)
    forward, samples = ForwardPass(calls, fitted_layers_of(calls)), samples_of(model)
    if dead == "weights":
        model.get_layer("a").kernel.assign(np.zeros(model.get_layer("a").kernel.shape))
    else:
        samples[0][...] = 0
    damages = damages_of(model, forward, ["a"], samples, "damage", output_metrics(forward, samples))
    shapes = {layer.name: layer for layer in describe(model).layers}
    options = priced(damages, shapes, ALL)["a"]
    assert len(options) > 1
    assert all(one.damage == 0 for one in options)
