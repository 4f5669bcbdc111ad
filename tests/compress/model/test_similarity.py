"""Similarity of feature maps, layer by layer, on the original's inputs."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from rankline.src.compress.model.similarity import LARGEST_BATCH, MAP_BYTES, Reference, fitting_batch
from rankline.src.compress.model.surgery import factorize
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.keras_model.graph import peak_elements, trace


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, name="first", use_bias=False)(inputs)
    x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization(name="norm")(x)))
    inner = keras.Sequential([keras.Input((3, 3, 8)), layers.Conv2D(8, 3, padding="same", name="conv")], name="inner")
    x = layers.Add()([x, inner(x)])
    return keras.Model(inputs, layers.Dense(4, name="last")(layers.Flatten()(x)))


SAMPLES = np.random.default_rng(0).normal(size=(50, 8, 8, 3)).astype(np.float32)


def test_full_rank_factors_are_alike(model: keras.Model) -> None:
    plan = {
        "first": Configuration("tucker", (3, 8)),
        "inner/conv": Configuration("tucker", (8, 8)),
        "last": Configuration("svd", (4,)),
    }
    found = Reference(model, plan, SAMPLES, batch_size=16).similarities(factorize(model, plan), plan)
    assert found == pytest.approx(dict.fromkeys(plan, 1.0), abs=1e-5)


def test_frames_that_are_folded_into_the_batch_count_once_each() -> None:
    inputs = keras.Input((3, 8, 8, 2))
    x = keras.layers.Conv2D(6, 3, name="frames")(keras.ops.reshape(inputs, (-1, 8, 8, 2)))
    model = keras.Model(inputs, x)
    plan = {"frames": Configuration("tucker", (2, 6))}
    samples = np.random.default_rng(0).normal(size=(5, 3, 8, 8, 2)).astype(np.float32)
    found = Reference(model, plan, samples, batch_size=2).similarities(factorize(model, plan), plan)
    assert found == pytest.approx({"frames": 1.0}, abs=1e-5)


def test_it_equals_the_cosine_of_maps_taken_by_hand(model: keras.Model) -> None:
    plan = {"first": Configuration("tucker", (1, 2))}
    compressed = factorize(model, plan)
    norm = compressed.get_layer("norm")
    norm.set_weights([weight + 0.3 for weight in norm.get_weights()])  # as after fine-tuning

    def maps(side: keras.Model) -> np.ndarray:
        pooled = next(layer for layer in side.layers if isinstance(layer, keras.layers.MaxPooling2D))
        return keras.Model(side.inputs, pooled.output).predict(SAMPLES, verbose=0).reshape(len(SAMPLES), -1)

    one, other = maps(model), maps(compressed)
    cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    found = Reference(model, plan, SAMPLES, batch_size=16).similarities(compressed, plan)
    assert found["first"] == pytest.approx(cosine.mean(), abs=1e-5)


def test_a_layer_is_judged_on_the_originals_input_not_on_what_earlier_factors_give(model: keras.Model) -> None:
    alone = {"last": Configuration("svd", (2,))}
    together = {"first": Configuration("tucker", (1, 1)), **alone}
    one = Reference(model, alone, SAMPLES).similarities(factorize(model, alone), alone)
    other = Reference(model, together, SAMPLES).similarities(factorize(model, together), together)
    assert one["last"] == pytest.approx(other["last"], abs=1e-6)
    assert other["first"] < 0.99


def test_the_batch_is_what_fits_into_the_bytes_for_maps() -> None:
    layers = keras.layers
    inputs = keras.Input((256, 256, 3))
    x = layers.Conv2D(64, 3, padding="same", name="large")(inputs)
    calls = trace(keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.ReLU()(x))))
    size = fitting_batch(calls)
    assert size * 2 * 4 * peak_elements(calls) <= MAP_BYTES < (size + 1) * 2 * 4 * peak_elements(calls)


def test_small_maps_make_a_full_batch(model: keras.Model) -> None:
    assert fitting_batch(trace(model)) == LARGEST_BATCH


PLAN = {
    "first": Configuration("tucker", (1, 2)),
    "inner/conv": Configuration("tucker", (3, 2)),
    "last": Configuration("svd", (1,)),
}


@pytest.mark.parametrize("room", [0, 40_000, 2**30])
def test_maps_that_are_kept_give_the_same_bits_as_maps_that_are_made_again(model: keras.Model, room: int) -> None:
    """The middle room is for two whole batches of the three, and for the last one, of two samples."""
    reference = Reference(model, PLAN, SAMPLES, batch_size=16, kept_bytes=room)
    fewer = {path: PLAN[path] for path in ("inner/conv", "last")}
    plans = [PLAN, {**PLAN, "first": Configuration("tucker", (2, 4))}, fewer]
    for plan in plans:
        compressed = factorize(model, plan)
        anew = Reference(model, plan, SAMPLES, batch_size=16, kept_bytes=0)
        assert reference.similarities(compressed, plan) == anew.similarities(compressed, plan)
    assert len(reference.kept) == {0: 0, 40_000: 3}.get(room, 4)


def test_with_all_maps_kept_the_original_is_not_run_again(model: keras.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = Reference(model, PLAN, SAMPLES)
    compressed = factorize(model, PLAN)
    first = reference.similarities(compressed, PLAN)
    monkeypatch.setattr("rankline.src.compress.model.similarity.feature_maps", lambda *_: pytest.fail("run again"))
    assert reference.similarities(compressed, PLAN) == first


def test_no_more_is_kept_than_there_is_room_for(model: keras.Model) -> None:
    reference = Reference(model, PLAN, SAMPLES, batch_size=16, kept_bytes=40_000)
    reference.similarities(factorize(model, PLAN), PLAN)
    kept = sum(array.nbytes for maps in reference.kept.values() for array in maps.values())
    assert kept == 40_000 - reference.room <= 40_000


def test_a_shared_layer_is_compared_at_all_its_places() -> None:
    layers = keras.layers
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 4))
    conv = layers.Conv2D(4, 3, padding="same", name="conv")
    outputs = layers.Dense(3, name="last")(layers.Flatten()(layers.ReLU()(conv(conv(inputs)))))
    model, plan = keras.Model(inputs, outputs), {"conv": Configuration("tucker", (2, 2))}
    compressed = factorize(model, plan)
    samples = SAMPLES[:, :6, :6, [0, 1, 2, 0]]
    reference = Reference(model, plan, samples, batch_size=20)
    once, again = (reference.similarities(compressed, plan) for _ in range(2))
    assert once == again
    assert 0 < once["conv"] < 1
