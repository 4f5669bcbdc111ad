"""Models at the door: which can be trained and judged, and what is said about the others."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from rankline.src.compress.data.classifier import (
    ScaleWarning,
    check_classifier,
    fitting,
    frozen_layers,
    output_activation,
)
from rankline.src.compress.data.sets import Data, data_from
from rankline.src.compress.training.fine_tuning import evaluate, fine_tune
from rankline.src.compress.training.settings import FineTuning
from rankline.src.dse.errors import UserError

layers = keras.layers


def two_classes() -> Data:
    """Dark and light pictures."""
    random = np.random.default_rng(0)
    y = np.arange(120) % 2
    x = (random.random((120, 4, 4, 1)) + y[:, None, None, None]).astype(np.float32)
    return data_from((x[:80], y[:80], x[80:], y[80:]))


def model(*last: keras.Layer, name: str = "net", shape: tuple[int | None, ...] = (4, 4, 1)) -> keras.Model:
    return keras.Sequential([keras.Input(shape), layers.Flatten(), *last], name=name)


def two_outputs() -> keras.Model:
    x = keras.Input((4,))
    return keras.Model(x, [layers.Dense(2)(x), layers.Dense(2)(x)], name="net")


def bytes_of(data: Data) -> Data:
    x = np.random.default_rng(0).integers(0, 256, data.x_train.shape).astype(np.float32)
    return replace(data, x_train=x)


def test_bytes_that_no_layer_scales_are_told() -> None:
    data = bytes_of(two_classes())
    with pytest.warns(ScaleWarning, match="from 0 to 255, and model 'net' .* --rescale 1/255"):
        fitting(data, model(layers.Dense(2)))


@pytest.mark.filterwarnings("error::rankline.src.compress.data.classifier.ScaleWarning")
def test_nothing_is_told_of_inputs_that_a_layer_scales_or_of_other_ranges() -> None:
    fitting(bytes_of(two_classes()), model(layers.Rescaling(1 / 255), layers.Dense(2)))
    fitting(two_classes(), model(layers.Dense(2)))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (keras.Sequential([layers.Dense(2)], name="net"), "never built"),
        (two_outputs(), "has 2 outputs; one is supported"),
        (model(layers.Dense(2, name="größe")), "cannot run a model or layer named 'größe'; .* letters"),
        (model(layers.Dense(2), name="modèle"), "named 'modèle'"),
        (model(layers.Dense(3, activation="sigmoid")), "3 values by a sigmoid; a softmax or logits"),
        (model(layers.Dense(1)), "1 values without a sigmoid"),
        (model(layers.Reshape((4, 4))), r"gives \(4, 4\); a softmax"),
    ],
)
def test_a_model_that_is_no_classifier_is_refused(made: keras.Model, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_classifier(made)


def test_open_sizes_are_refused_with_the_way_to_fix_them() -> None:
    x = keras.Input((None, None, 1))
    open_sizes = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)), name="net")
    with pytest.raises(UserError, match=r"fix them .* keras.Input\(\(4, 4, 1\)\), keras.Model\(x, model\(x\)\)"):
        fitting(two_classes(), open_sizes)
    fixed = keras.Input((4, 4, 1))
    fitting(two_classes(), keras.Model(fixed, open_sizes(fixed), name="fixed"))


def test_one_sigmoid_is_trained_and_judged_as_two_classes() -> None:
    keras.utils.set_random_seed(0)
    binary = model(layers.Dense(1, activation="sigmoid"))
    data = fitting(two_classes(), binary)
    fine_tune(
        binary,
        (data.x_train, data.y_train),
        (data.x_validation, data.y_validation),
        FineTuning(epochs=30, learning_rate=0.05),
        seed=0,
    )
    score = evaluate(binary, data.x_test, data.y_test)
    outputs = np.clip(binary.predict(data.x_test, verbose=0)[:, 0], 1e-7, 1 - 1e-7)
    assert score.accuracy > 0.9
    assert score.loss == pytest.approx(-np.log(np.where(data.y_test, outputs, 1 - outputs)).mean(), rel=1e-3)


def test_the_activation_of_the_output_is_seen_however_it_is_made() -> None:
    x = keras.Input((4,))
    assert output_activation(keras.Model(x, keras.activations.softmax(layers.Dense(2)(x)))) == "softmax"
    assert output_activation(model(layers.Dense(2), layers.Softmax())) == "softmax"
    assert output_activation(model(layers.Dense(2), layers.Activation("softmax"))) == "softmax"
    assert output_activation(model(layers.Dense(2))) == "linear"


def test_frozen_layers_are_listed_and_a_frozen_model_stays_as_it_is() -> None:
    some = model(layers.Dense(3, name="a", trainable=False), layers.Dense(2, name="b"))
    assert frozen_layers(some) == ["a"]
    some.trainable = False
    before = some.get_weights()
    data = two_classes()
    fine_tune(some, (data.x_train, data.y_train), (data.x_test, data.y_test), FineTuning(epochs=1), seed=0)
    assert all(map(np.array_equal, before, some.get_weights()))
