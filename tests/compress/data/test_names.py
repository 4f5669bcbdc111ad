"""The names that people give arrays."""

from __future__ import annotations

import numpy as np
import pytest

from rankline.src.compress.data.given import held_by
from rankline.src.compress.data.names import TEST, TRAIN, VALIDATION, WHOLE, layout_of
from rankline.src.compress.data.takes import Slot, Takes
from rankline.src.dse.errors import UserError

TWO = Takes((Slot("left"), Slot("right")), (Slot("y"),), "siamese")


@pytest.mark.parametrize(
    ("names", "part"),
    [
        ("x_val y_val", VALIDATION),
        ("X_valid Y_valid", VALIDATION),
        ("valid_x valid_y", VALIDATION),
        ("x_dev y_dev", VALIDATION),
        ("X_train y_train", TRAIN),
        ("xtrain ytrain", TRAIN),
        ("trainX trainY", TRAIN),
        ("train_images train_labels", TRAIN),
        ("training_data training_targets", TRAIN),
        ("test_images test_labels", TEST),
        ("x y", WHOLE),
        ("images labels", WHOLE),
        ("data target", WHOLE),
        ("features targets", WHOLE),
        ("inputs outputs", WHOLE),
    ],
)
def test_names_that_people_use_are_understood(names: str, part: str) -> None:
    x, y = names.split()
    layout = layout_of([y, x], Takes(), "own.npz")
    assert (layout.of("x", part), layout.of("y", part), layout.unused) == ([x], [y], ())


def test_other_names_than_the_plainest_are_told_and_strangers_are_named_as_ignored() -> None:
    names = ["x_train", "y_train", "x_val", "y_val", "x_test", "y_test", "ids", "speakers_train"]
    assert layout_of(names, Takes(), "d.npz").notes == [
        "x_val, y_val taken as the validation part",
        "ids, speakers_train ignored",
    ]
    assert not layout_of(names[:2], Takes(), "d.npz").notes


def test_of_two_names_for_one_place_the_plainer_counts() -> None:
    layout = layout_of(["images", "x", "data", "y"], Takes(), "d.npz")
    assert layout.of("x", WHOLE) == ["x"]
    assert layout.unused == ("images", "data")


def test_what_is_missing_is_told_by_its_plainest_name() -> None:
    assert layout_of(["X_train"], Takes(), "d.npz").missing == ["y_train", "x_test", "y_test"]
    assert layout_of(["x"], Takes(), "d.npz").missing == ["y"]
    assert layout_of(["x_train", "y_train"], Takes(), "d.npz").missing == []
    assert layout_of(["x_train", "y_train", "x_val"], Takes(), "d.npz").missing == ["y_validation", "x_test", "y_test"]


@pytest.mark.parametrize("names", ["left right", "x_0 x_1", "x_1 x_2", "x_left x_right", "LEFT RIGHT"])
def test_several_inputs_are_told_apart_by_name_or_number(names: str) -> None:
    first, second = names.split()
    assert layout_of([second, first], TWO, "d.npz").of("x", WHOLE) == [first, second]
    with pytest.raises(UserError, match="must hold an array for each of the model's 2 inputs: x_left, x_right"):
        layout_of([first], TWO, "d.npz")


def test_values_are_taken_in_every_usual_shape() -> None:
    x, y = np.zeros((6, 4)), np.arange(6)
    for value in (x, (x,), {"x": x}, x.tolist() and [x]):
        assert held_by(value, "own", Takes()).first.x[0].shape == (6, 4)
    for value in ((x, y), {"images": x, "labels": y}):
        assert [len(side) for side in (held_by(value, "own", Takes()).parts[WHOLE].x)] == [6]
    pairs = held_by(((x, y), (x[:2], y[:2])), "own", Takes())
    assert (len(pairs.parts[TRAIN].x[0]), len(pairs.parts[TEST].y[0])) == (6, 2)
    for value in ([x, x], {"left": x, "right": x}, ((x, x), y), [[x, x], y, [x, x], y]):
        assert len(held_by(value, "own", TWO).first.x) == 2


@pytest.mark.parametrize("value", [None, iter([1]), (one for one in [1]), "digits", 3, [np.zeros(3)] * 3])
def test_anything_else_is_refused_in_a_line(value: object) -> None:
    with pytest.raises(UserError, match=r"^data 'own' .*(must be 4 arrays|not an array)"):
        held_by(value, "own", Takes())
