"""Which layers a run takes, by which method, and what it says of the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import pytest

from rankline.src.compress.model.separable import split
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.search.targets import Target, targets_of
from rankline.src.db.database import Database, open_database
from rankline.src.dse.errors import UserError

METHODS = ("tucker", "cp", "svd", "qr")


TARGETS = {"first", "second", "point", "separable/pointwise", "wide", "last"}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Every kind of layer. By params wide > last > second > first > point.

    A Dense layer of one unit can't be made smaller: rank one has more weights.
    """

    @keras.saving.register_keras_serializable("targets")
    class Own(keras.layers.Dense):
        def call(self, x: Any) -> Any:
            return super().call(x) ** 2

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(8, 3, padding="same", name="first"),
            layers.Conv2D(8, 3, padding="same", name="second"),
            layers.Conv2D(8, 3, padding="same", groups=2, name="grouped"),
            layers.Conv2D(24, 1, strides=4, name="point"),
            layers.SeparableConv2D(24, 3, padding="same", name="separable"),
            layers.Flatten(name="flat"),
            layers.Dense(32, name="wide"),
            layers.Dense(32, name="last"),
            Own(8, name="own"),
            layers.Dense(1, name="one"),
        ],
        name="kinds",
    )


@pytest.fixture(scope="module")
def database(model: keras.Model) -> Iterator[Database]:
    opened = open_database("sqlite://")
    opened.explore(model, name="kinds", methods=METHODS)
    yield opened
    opened.close()


def found(model: keras.Model, database: Database, **changes: Any) -> tuple[dict[str, Target], dict[str, str]]:
    return targets_of(split(model), database, "kinds", Settings(**{"drop_smallest": 0.0, **changes}))


def test_every_layer_is_a_target_or_told_why_not(model: keras.Model, database: Database) -> None:
    targets, skipped = found(model, database)
    assert set(targets) == TARGETS
    assert list(skipped) == ["grouped", "separable/depthwise", "own", "one"]
    assert {*targets, *skipped} == {row["name"] for row in database.layers()}
    assert "group" in skipped["grouped"]
    assert skipped["separable/depthwise"] == "the depthwise part of a separable convolution is kept as it is"
    assert skipped["own"] == "Own has a call of its own and is kept as it is"


def test_a_layer_for_which_rank_one_gains_nothing_is_told(model: keras.Model, database: Database) -> None:
    reason = found(model, database)[1]["one"]
    assert reason == "no rank of svd lowers the params, with both params and FLOPs below"
    assert "lowers the flops" in found(model, database, objective="flops")[1]["one"]


def test_every_target_starts_at_its_lowest_objective(model: keras.Model, database: Database) -> None:
    for objective in ("params", "flops", "memory"):
        for name, target in found(model, database, objective=objective)[0].items():
            assert target.solution is not None
            lowest = database.solutions(name, target.solution.method).lowest(objective)
            assert getattr(target.solution, objective) == getattr(lowest, objective)


def test_a_layer_whose_memory_rank_one_does_not_lower_is_no_target(model: keras.Model, database: Database) -> None:
    """At rank one the smaller kernel of a convolution doesn't pay for the feature maps between the factors."""
    for method, heavier in (("tucker", {"first"}), ("cp", {"first", "second"})):
        targets, skipped = found(model, database, objective="memory", conv_method=method)
        assert {name for name, reason in skipped.items() if f"rank of {method} lowers the memory" in reason} == heavier
        assert set(targets) == TARGETS - heavier
        for name in heavier:
            (before,) = [4 * (row["params"] + row["fm"]) for row in database.layers() if row["name"] == name]
            assert database.solutions(name, method).lowest("memory").memory >= before
            assert database.solutions(name, method).lowest("params").params < before / 4


@pytest.mark.parametrize(
    ("objective", "share", "left"),
    [
        ("params", 0.16, set()),
        ("params", 0.17, {"point"}),
        ("params", 0.33, {"point"}),
        ("params", 0.34, {"first", "point"}),
        ("flops", 0.34, {"last", "point"}),
    ],
)
def test_the_floor_of_the_share_of_layers_is_left_as_it_is_the_smallest_by_the_objective(
    model: keras.Model, database: Database, objective: str, share: float, left: set[str]
) -> None:
    targets, skipped = found(model, database, objective=objective, drop_smallest=share)
    told = {name for name, reason in skipped.items() if reason.startswith(f"among the smallest {100 * share:g} %")}
    assert told == left
    assert set(targets) == TARGETS - left
    assert all(skipped[name].endswith(f"by {objective}") for name in left)


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({"include": ("*t",)}, {"first", "point", "last"}),
        ({"include": ("wide", "s*")}, {"wide", "second", "separable/pointwise"}),
        ({"exclude": ("*s*",)}, {"point", "wide"}),
        ({"include": ("*t",), "exclude": ("first",)}, {"point", "last"}),
    ],
)
def test_layers_are_chosen_by_name_or_pattern(
    model: keras.Model, database: Database, chosen: dict[str, tuple[str, ...]], names: set[str]
) -> None:
    targets, skipped = found(model, database, **chosen)
    assert set(targets) == names
    for name in TARGETS - names:
        assert skipped[name] == "left out by include or exclude"


@pytest.mark.parametrize("option", ["include", "exclude"])
def test_a_pattern_that_fits_no_layer_is_refused(model: keras.Model, database: Database, option: str) -> None:
    with pytest.raises(UserError, match="unknown layer 'secnd'; did you mean 'second'"):
        found(model, database, **{option: ("first", "secnd")})


def test_no_target_at_all_is_refused_with_every_reason(model: keras.Model, database: Database) -> None:
    with pytest.raises(UserError, match="no layer of 'kinds' can be made smaller .*first: left out.*one: no r"):
        found(model, database, include=("one",))


def test_a_1x1_convolution_takes_the_conv_method_or_svd(model: keras.Model, database: Database) -> None:
    def method(name: str, **changes: Any) -> str:
        solution = found(model, database, **changes)[0][name].solution
        assert solution is not None
        return solution.method

    stored = {row["method"] for row in database.spaces() if row["layer"] == "point"}
    for conv_method in ("tucker", "cp", "svd"):
        assert method("first", conv_method=conv_method) == conv_method
        assert method("point", conv_method=conv_method) == (conv_method if conv_method in stored else "svd")
    assert "cp" not in stored
    assert method("wide", conv_method="cp", dense_method="qr") == "qr"


def test_a_method_that_was_not_explored_is_told(model: keras.Model, database: Database) -> None:
    """TT was not: its convolutions fall back to SVD. T3F was not: dense layers have nothing to fall back to."""
    targets, skipped = found(model, database, conv_method="tt", dense_method="t3f")
    assert {
        name for name, target in targets.items() if target.configuration and target.configuration.method == "svd"
    } == set(targets)
    assert skipped["wide"] == "not explored by tt or t3f"


def test_a_target_that_has_no_configuration_left_goes_back_to_what_it_was(
    model: keras.Model, database: Database
) -> None:
    target = found(model, database, step=0.5)[0]["wide"]
    seen = []
    while target.configuration:
        seen.append(target.configuration)
        target.advance()
    assert len(seen) == len(set(seen)) >= 2
    target.advance()
    assert target.configuration is None


def test_the_threshold_is_that_of_the_layer_s_place(model: keras.Model, database: Database) -> None:
    inputs = keras.Input((8, 8, 4))
    x = keras.layers.Conv2D(8, 3, padding="same", name="stem")(inputs)
    y = keras.layers.Conv2D(8, 3, padding="same", name="branch")(x)
    branched = keras.Model(inputs, keras.layers.Add()([x, y]), name="branched")
    opened = open_database("sqlite://")
    opened.explore(branched, methods=["tucker", "svd"])
    settings = Settings(sequential_threshold=0.7, other_threshold=0.8, drop_smallest=0.0)
    targets, _ = targets_of(branched, opened, "branched", settings)
    assert {name: target.threshold for name, target in targets.items()} == {"stem": 0.7, "branch": 0.8}
    opened.close()
