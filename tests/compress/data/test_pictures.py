"""Folders of pictures as data."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from rankline.src.compress.data import pictures
from rankline.src.compress.data.calibration import calibration_of
from rankline.src.compress.data.pictures import folder_of, read_pictures
from rankline.src.compress.data.sets import DataWarning, Named
from rankline.src.compress.data.sources import check_data
from rankline.src.compress.data.takes import Slot, Takes
from rankline.src.compress.training.labelled import labelled_for
from rankline.src.dse.errors import UserError

RGB = Takes((Slot("x", (8, 8, 3)),))
layers = keras.layers


def picture(path: Path, value: int, channels: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tf.io.encode_png(np.full((10, 10, channels), value, np.uint8)).numpy())


def classes_in(folder: Path, count: int = 10, names: str = "ab") -> Path:
    for place, name in enumerate(names):
        for number in range(count):
            picture(folder / name / f"{number}.png", 100 * place + number)
    return folder


def model(classes: int = 2) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def test_class_folders_are_numbered_by_name_and_read_at_the_size_of_the_model(tmp_path: Path) -> None:
    held = read_pictures(folder_of(str(classes_in(tmp_path / "p"))), RGB)
    (x,), (y,) = held.first.x, held.first.y
    assert x.shape == (20, 8, 8, 3)
    assert np.array_equal(y, [0] * 10 + [1] * 10)
    assert np.allclose(x[:, 0, 0, 0], [*range(10), *range(100, 110)])
    assert held.notes == [f"{tmp_path / 'p'}: 20 pictures, read at 8x8x3; 2 classes, numbered by name: a, b"]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("wanted", [1, 3, 4])
def test_pictures_get_the_channels_of_the_model(tmp_path: Path, channels: int, wanted: int) -> None:
    picture(tmp_path / "one.png", 7, channels)
    held = read_pictures(folder_of(str(tmp_path)), Takes((Slot("x", (8, 8, wanted)),)))
    assert held.first.x[0].shape == (1, 8, 8, wanted)
    assert np.allclose(held.first.x[0][..., 0], 7, atol=1)


def test_channels_may_come_first(tmp_path: Path) -> None:
    picture(tmp_path / "one.png", 7)
    held = read_pictures(folder_of(str(tmp_path)), Takes((Slot("x", (3, 8, 6)),)))
    assert held.first.x[0].shape == (1, 3, 8, 6)


@pytest.mark.parametrize("validation", ["validation", "val", "valid"])
def test_folders_of_parts_are_the_parts(tmp_path: Path, validation: str) -> None:
    for part, count in (("train", 6), (validation, 3), ("test", 2)):
        classes_in(tmp_path / part, count)
    data, _ = labelled_for(model(), str(tmp_path))
    assert [len(x) for x in (data.x_train, data.x_validation, data.x_test)] == [12, 6, 4]


def test_a_split_that_the_folders_lack_is_made_by_class_with_the_seed_told_and_recorded(tmp_path: Path) -> None:
    classes_in(tmp_path, 20)
    with pytest.warns(DataWarning, match="no test part, so 15% of the samples are kept apart for it"):
        data, _ = labelled_for(model(), Named(str(tmp_path), split_seed=3))
    assert Counter(data.y_test.tolist()) == {0: 3, 1: 3}
    assert len(data.x_train) + len(data.x_validation) + len(data.x_test) == 40
    assert {"test": 0.15, "validation": 0.15, "split_seed": 3}.items() <= data.preparation.items()
    assert data.preparation["pictures"] == {"size": [8, 8], "channels": 3, "classes": ["a", "b"]}
    again, _ = labelled_for(model(), Named(str(tmp_path), split_seed=3))
    assert np.array_equal(data.x_validation, again.x_validation)


def test_pictures_without_classes_are_for_calibration_alone(tmp_path: Path) -> None:
    for number in range(12):
        picture(tmp_path / f"{number}.png", number)
    found = calibration_of(model(), str(tmp_path), 5)
    assert (found.data, found.samples[0].shape) == (None, (5, 8, 8, 3))
    assert np.array_equal(found.samples[0], calibration_of(model(), str(tmp_path), 5).samples[0])
    with pytest.raises(UserError, match="has no folders of classes, and so no labels"):
        check_data(str(tmp_path))
    check_data(str(tmp_path), may_lack_labels=True)


def test_no_more_pictures_than_needed_are_read_where_memory_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes_in(tmp_path)
    monkeypatch.setattr(pictures, "available_bytes", lambda: 10_000)
    assert calibration_of(model(), str(tmp_path), 5).samples[0].shape == (5, 8, 8, 3)
    with pytest.raises(UserError, match=r"20 pictures of 8x8x3 need 46.1 kB of memory, and 10 kB are free"):
        labelled_for(model(), str(tmp_path))


def test_other_classes_than_the_model_s_are_refused_and_not_counted(tmp_path: Path) -> None:
    classes_in(tmp_path, 20)
    with pytest.raises(UserError, match="has 2 folders of classes, and the model 5 classes"):
        labelled_for(model(5), str(tmp_path))
    with pytest.warns(DataWarning, match="its labels are not used .*2 folders of classes"):
        assert calibration_of(model(5), str(tmp_path), 5).data is None


def test_folders_that_are_no_data_are_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts" / "a").mkdir(parents=True)
    (tmp_path / "texts" / "a" / "one.txt").write_text("no picture")
    for name in ("empty", "texts"):
        with pytest.raises(UserError, match="there are no pictures in"):
            check_data(str(tmp_path / name), may_lack_labels=True)
    classes_in(tmp_path / "single", names="a")
    with pytest.raises(UserError, match="has a single class, a"):
        check_data(str(tmp_path / "single"))
    classes_in(tmp_path / "parts" / "train", names="ab")
    classes_in(tmp_path / "parts" / "test", names="ac")
    with pytest.raises(UserError, match="has other folders of classes than its neighbours: a, c; those have a, b"):
        check_data(str(tmp_path / "parts"))
    assert calibration_of(model(), str(tmp_path / "parts"), 5).data is None


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    classes_in(tmp_path, 3)
    (tmp_path / "b" / "1.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"b/1.png can't be read as a picture in rgb; mend it or take it out") as told:
        read_pictures(folder_of(str(tmp_path)), RGB)
    assert "\n" not in str(told.value)


def test_a_model_of_something_else_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "one.png", 7)
    for shape, words in (((4,), "is data for one input"), ((8, 8, 7), "1, 3 or 4 channels"), ((None, None, 3), "open")):
        with pytest.raises(UserError, match=words):
            read_pictures(folder_of(str(tmp_path)), Takes((Slot("x", shape),)))
