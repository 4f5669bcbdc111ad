"""Stored errors against decompositions that are carried out, of every registered method."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from rankline.src.compress.fit.covariance import CalibrationWarning, covariances
from rankline.src.compress.fit.error_tables import store_spectra
from rankline.src.compress.fit.measured_errors import measure_errors
from rankline.src.compress.methods import DECOMPOSITIONS
from rankline.src.compress.model.stored_layers import LayersMissing
from rankline.src.compress.model.surgery import factor_chain, factorize, find_layer
from rankline.src.db.database import Database, open_database
from rankline.src.db.records.error_tables import OUTPUTS, WEIGHTS
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.error_table import BOUND, EXACT
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.fresh_names import fresh_names
from rankline.src.dse.options import Options

LAYERS = ["first", "strided", "hidden"]
INPUT = (8, 8, 6)


def net(seed: int = 0, filters: int = 10) -> keras.Model:
    """Convolutions and dense layers without biases and activations of their own, with weights like trained ones."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(INPUT),
            layers.Conv2D(filters, 3, padding="same", use_bias=False, name="first"),
            layers.ReLU(),
            layers.Conv2D(8, (3, 2), strides=2, padding="same", use_bias=False, name="strided"),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(12, use_bias=False, name="hidden"),
        ],
        name="net",
    )
    rng = np.random.default_rng(seed)
    model.set_weights([decaying(weight.shape, rng) for weight in model.get_weights()])
    return model


def decaying(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """A random kernel whose spectrum decays along every axis, as those of trained layers do."""
    kernel = rng.standard_normal(shape)
    for axis, size in enumerate(shape):
        frame, _ = np.linalg.qr(rng.standard_normal((size, size)))
        kernel = np.moveaxis(np.tensordot(frame / (1 + np.arange(size)), kernel, (1, axis)), 0, axis)
    return kernel


def samples(count: int = 200) -> NDArray[np.float32]:
    rng = np.random.default_rng(5)
    return (rng.standard_normal((count, *INPUT)) @ rng.standard_normal((6, 6))).cumsum(axis=1).astype(np.float32)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = open_database(str(tmp_path / "net.db"))
    found.explore(net())
    return found


def spaces(database: Database) -> list[tuple[str, str]]:
    """The layers and methods that errors can be told of."""
    return [(row["layer"], row["method"]) for row in database.spaces() if row["method"] in DECOMPOSITIONS]


def kernel_of(model: keras.Model, layer: str) -> NDArray[np.float32]:
    found: Any = find_layer(model, layer)
    return keras.ops.convert_to_numpy(found.kernel)


def test_every_space_of_every_method_gets_its_errors(database: Database) -> None:
    told: list[tuple[str, int, int]] = []
    looked = store_spectra(net(), database, progress=lambda *report: told.append(report))
    assert [(one.layer, one.method) for one in looked] == spaces(database)
    assert {one.of for one in looked} == {WEIGHTS}
    assert [done for _, done, _ in told] == list(range(1, len(looked) + 1))
    for layer, method in spaces(database):
        for one in database.solutions(layer, method).within("all").random(20, seed=0):
            assert one.error_of == WEIGHTS
            assert one.certainty
            assert one.error is not None
            assert 0 <= one.error < np.inf


@pytest.mark.parametrize("method", DECOMPOSITIONS)
def test_errors_are_those_of_the_decompositions(database: Database, method: str) -> None:
    """Tucker's are those of the HOSVD frames, on which decomposing improves by a little."""
    model, decomposition = net(), DECOMPOSITIONS[method]
    store_spectra(model, database, methods=[method])
    seen = 0
    for layer, name in spaces(database):
        if name != method:
            continue
        kernel = kernel_of(model, layer)
        for one in database.solutions(layer, method).within("all").random(12, seed=1):
            factors = decomposition.decompose(kernel, one.ranks, one.shape, dtype="float64")
            true = decomposition.error(kernel, factors)
            assert one.error is not None
            if one.certainty in (EXACT, BOUND):
                assert true <= one.error * (1 + 1e-4) + 1e-6
            if one.certainty == EXACT:
                assert true >= one.error * (0.9 if method == "tucker" else 1 - 1e-4) - 1e-6
            seen += 1
    assert seen


def test_what_is_there_is_not_made_again_and_other_weights_make_all_anew(database: Database) -> None:
    made = len(store_spectra(net(), database))
    before = {place: database.solutions(*place).min_flops().error for place in spaces(database)}
    assert store_spectra(net(), database) == []
    assert len(store_spectra(net(seed=1), database)) == made
    after = {place: database.solutions(*place).min_flops().error for place in spaces(database)}
    assert all(after[place] != before[place] for place in before)


def test_other_weights_make_errors_on_calibration_data_be_forgotten(database: Database) -> None:
    moments = {"first": covariances(net(), samples(), ["first"])["first"].matrix}
    store_spectra(net(), database, methods=["svd"], covariances=moments)
    assert database.solutions("first", "svd").min_flops().error_of == OUTPUTS
    store_spectra(net(), database, methods=["svd"])
    assert database.solutions("first", "svd").min_flops().error_of == OUTPUTS
    store_spectra(net(seed=1), database, methods=["svd"])
    assert database.solutions("first", "svd").min_flops().error_of == WEIGHTS


def test_other_calibration_data_makes_its_errors_anew(database: Database) -> None:
    errors = []
    for count in (200, 100):
        made = measure_errors(net(), database, methods=["svd"], calibrate=samples(count))
        assert {one.of for one in made} == {OUTPUTS}
        errors.append(database.solutions("first", "svd").min_flops().error)
    assert errors[0] != errors[1]


def test_exploring_with_other_options_forgets_errors_of_ranks_that_were_not_there(database: Database) -> None:
    database.explore(net(), options=Options(max_rank=2))
    store_spectra(net(), database)
    assert database.solutions("first", "svd").within("all").min_error().ranks == (2,)
    database.explore(net())
    assert database.solutions("first", "svd").errors is None
    store_spectra(net(), database)
    assert database.solutions("first", "svd").within("all").min_error().error == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("method", [name for name, one in DECOMPOSITIONS.items() if one.uses_covariance])
def test_errors_of_outputs_are_what_factorized_layers_show_on_the_data(database: Database, method: str) -> None:
    model, x = net(), samples()
    made = measure_errors(model, database, methods=[method], calibrate=x)
    assert {one.of for one in made} == {OUTPUTS}
    moments = {path: one.matrix for path, one in covariances(model, x, LAYERS).items()}
    for layer in {one.layer for one in made}:
        original = keras.Model(model.inputs, model.get_layer(layer).output).predict(x, verbose=0)
        for one in database.solutions(layer, method).within("all").random(4, seed=2):
            choice = Configuration(method, one.ranks, one.shape)
            small = factorize(model, {layer: choice}, covariances=moments)
            last = factor_chain(small, layer, choice)[-1]
            outputs = keras.Model(small.inputs, last.output).predict(x, verbose=0)
            true = np.linalg.norm(outputs - original) / np.linalg.norm(original)
            assert one.error is not None
            if one.certainty == EXACT:
                assert one.error == pytest.approx(true, rel=1e-4, abs=1e-4)
            elif one.certainty == BOUND:
                assert one.error >= true * (1 - 1e-4) - 1e-4


def test_a_layer_of_zeros_has_no_error_and_its_outputs_neither(database: Database) -> None:
    model = net()
    model.get_layer("first").set_weights([0 * kernel_of(model, "first")])
    with pytest.warns(CalibrationWarning, match="'strided' outputs only zeros"):
        made = measure_errors(model, database, calibrate=samples())
    assert {one.layer for one in made if one.of == OUTPUTS} == {"first"}
    for layer, method in spaces(database):
        error = database.solutions(layer, method).within("all").min_flops().error
        assert error is not None
        assert (error == 0) == (layer == "first")


def test_weights_that_are_not_finite_are_named(database: Database) -> None:
    model = net()
    model.get_layer("strided").set_weights([np.full(kernel_of(model, "strided").shape, np.nan)])
    with pytest.raises(UserError, match="layer 'strided': the weights hold NaN"):
        store_spectra(model, database)


def test_a_model_that_is_another_is_refused(database: Database) -> None:
    with pytest.raises(UserError, match="give the model that was explored"):
        store_spectra(net(filters=9), database)
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="other")])
    with pytest.raises(UserError, match=r"no layer of network 'net' \(first, .*\) is in model .* \(other\)"):
        store_spectra(other, database, "net")


def test_layers_that_the_model_lacks_are_named(database: Database) -> None:
    inputs = keras.Input(INPUT)
    x = net().get_layer("first")(inputs)
    headless = keras.Model(inputs, keras.layers.Dense(5, name="another")(x), name="net")
    with pytest.warns(LayersMissing, match="2 of the network's 3 layers aren't in this model: strided, hidden"):
        made = measure_errors(headless, database, methods=["svd"])
    assert [one.layer for one in made] == ["first"]


def unnamed(seed: int) -> keras.Model:
    """Layers without names of their own, of which Keras numbers each build on."""
    keras.utils.set_random_seed(seed)
    same = [keras.layers.Conv2D(6, 3, padding="same", use_bias=False) for _ in range(3)]
    return keras.Sequential([keras.Input(INPUT), *same], name="unnamed")


def test_a_network_that_is_built_again_is_known_by_the_order_of_its_layers(tmp_path: Path) -> None:
    database = open_database(str(tmp_path / "unnamed.db"))
    first, again = unnamed(0), unnamed(0)
    database.explore(first)
    names = [layer.name for layer in first.layers]
    assert names != [layer.name for layer in again.layers]
    with warnings.catch_warnings():
        warnings.simplefilter("error", LayersMissing)
        made = measure_errors(again, database, methods=["svd"])
        assert [one.layer for one in measure_errors(again, database, calibrate=samples(), methods=["svd"])] == names
    assert [one.layer for one in made] == names
    database = open_database(str(tmp_path / "again.db"))
    database.explore(again)
    own = measure_errors(again, database, methods=["svd"])
    assert [replace(one, layer="", seconds=0) for one in made] == [replace(one, layer="", seconds=0) for one in own]


def test_layers_of_one_build_are_not_taken_for_those_of_another(tmp_path: Path) -> None:
    """The second layer of the first build and the first of the second may have the same name."""
    database = open_database(str(tmp_path / "unnamed.db"))
    with fresh_names():
        first = unnamed(0)
    with fresh_names():
        keras.layers.Conv2D(1, 1)
        again = unnamed(0)
    assert first.layers[1].name == again.layers[0].name
    database.explore(first)
    measure_errors(again, database, methods=["svd"])
    for layer, other in zip(first.layers, again.layers, strict=True):
        factors = DECOMPOSITIONS["svd"].decompose(kernel_of(again, other.name), (4,))
        told = database.solutions(layer.name, "svd").within("all").random(6, seed=0)
        (error,) = {one.error for one in told if one.ranks == (4,)}
        assert error == pytest.approx(DECOMPOSITIONS["svd"].error(kernel_of(again, other.name), factors), rel=1e-4)


def test_what_cannot_be_measured_is_answered_with_what_to_do(database: Database, tmp_path: Path) -> None:
    model = net()
    with pytest.raises(UserError, match="did you mean 'tucker'"):
        measure_errors(model, database, methods=["tuker"])
    with pytest.raises(UserError, match="network 'nets' is not explored.* rankline explore MODEL --name nets"):
        measure_errors(model, database, network="nets")
    with pytest.raises(UserError, match="rankline explore MODEL"):
        measure_errors(model, str(tmp_path / "absent.db"))
    with pytest.raises(UserError, match=r"\(8, 8, 3\); model 'net' takes \(8, 8, 6\)"):
        measure_errors(model, database, calibrate=samples()[..., :3])
    with pytest.raises(UserError, match="none of these layers and methods can use calibration data"):
        measure_errors(model, database, methods=["qr"], calibrate=samples())
    with pytest.raises(UserError, match="samples must be at least 1"):
        measure_errors(model, database, calibrate=samples(), samples=0)
    assert all(database.solutions(*place).errors is None for place in spaces(database))


def test_the_pointwise_part_of_a_separable_convolution_is_measured(tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input(INPUT), keras.layers.SeparableConv2D(4, 3, name="apart"), keras.layers.Conv2D(4, 3, name="whole")],
        name="mixed",
    )
    database = open_database(str(tmp_path / "mixed.db"))
    database.explore(model)
    with pytest.warns(CalibrationWarning):
        made = measure_errors(model, database, calibrate=samples(2))
    assert {row["layer"] for row in database.spaces()} == {one.layer for one in made} == {"apart/pointwise", "whole"}
    assert {(one.method, one.of) for one in made if one.layer == "apart/pointwise"} > {("svd", "outputs")}
