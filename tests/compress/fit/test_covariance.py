"""Second moments of input patches against the convolutions themselves, and the errors that they foretell."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from rankline.src.compress import methods
from rankline.src.compress.fit.covariance import CalibrationWarning, Covariance, covariances, patches
from rankline.src.compress.model.surgery import factorize
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError
from tests.helpers.channels_first import skip_if_refused
from tests.helpers.rounding import rounding_bound

layers = keras.layers

# A layer, and the input of one sample.
GEOMETRIES = [
    (layers.Dense(5, name="it"), (7,)),
    (layers.Dense(5, name="it"), (4, 7)),
    (layers.Conv1D(5, 3, padding="same", name="it"), (9, 4)),
    (layers.Conv1D(5, 3, padding="causal", dilation_rate=2, name="it"), (9, 4)),
    (layers.Conv1D(5, 4, strides=2, padding="causal", name="it"), (9, 4)),
    (layers.Conv2D(5, 3, padding="same", name="it"), (6, 7, 3)),
    (layers.Conv2D(5, 3, strides=2, padding="same", name="it"), (7, 8, 3)),
    (layers.Conv2D(5, (5, 2), strides=(1, 2), padding="valid", name="it"), (7, 8, 3)),
    (layers.Conv2D(5, (3, 1), dilation_rate=2, padding="same", name="it"), (8, 7, 3)),
    (layers.Conv2D(5, 1, strides=(2, 3), padding="same", name="it"), (6, 7, 3)),
    (layers.Conv2D(5, 4, strides=3, padding="same", name="it"), (10, 9, 3)),
    (layers.Conv3D(5, (2, 3, 2), strides=(1, 2, 1), padding="same", name="it"), (4, 5, 4, 3)),
    (layers.Conv3D(5, (3, 1, 2), padding="valid", name="it"), (5, 3, 4, 3)),
]
FIRST = (layers.Conv2D(5, 3, strides=2, padding="same", data_format="channels_first", name="it"), (3, 7, 8))
PLACES = [
    *(("svd", *place) for place in GEOMETRIES),
    *(("tucker", *place) for place in GEOMETRIES if not isinstance(place[0], layers.Dense)),
]


def model_of(template: keras.Layer, size: tuple[int, ...], seed: int = 0) -> keras.Model:
    """A model of one layer with random weights."""
    layer = type(template).from_config(template.get_config())
    model = keras.Sequential([keras.Input(size), layer])
    rng = np.random.default_rng(seed)
    model.set_weights([rng.standard_normal(weight.shape) for weight in model.get_weights()])
    return model


def outputs_of(model: keras.Model, x: NDArray[np.float32]) -> NDArray[np.float32]:
    return keras.ops.convert_to_numpy(model(x))


def correlated(count: int, size: tuple[int, ...], seed: int = 1) -> NDArray[np.float32]:
    """Samples whose neighbouring values and channels are alike, as those of real feature maps."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, *size)).cumsum(axis=1) @ (0.3 * rng.standard_normal((size[-1], size[-1])))
    return np.maximum(x + 0.5, 0).astype("float32")


@pytest.mark.parametrize(("template", "size"), [*GEOMETRIES, FIRST])
def test_patches_times_the_kernel_are_what_the_layer_computes(template: keras.Layer, size: tuple[int, ...]) -> None:
    model, x = model_of(template, size), correlated(3, size)
    (layer,) = model.layers
    skip_if_refused(layer)
    view = patches(layer, x)
    kernel, bias = layer.get_weights()
    rows = view.reshape(-1, kernel[..., 0].size)
    output, allowed = keras.ops.convert_to_numpy(layer(x)), rounding_bound([layer], x)
    if getattr(layer, "data_format", None) == "channels_first":
        output, allowed = np.moveaxis(output, 1, -1), np.moveaxis(allowed, 1, -1)
    exact = rows.astype(np.float64) @ kernel.reshape(-1, 5) + bias
    np.testing.assert_array_less(np.abs(exact - output.reshape(-1, 5)), allowed.reshape(-1, 5))


@pytest.mark.parametrize(("template", "size"), GEOMETRIES)
def test_second_moment_is_that_of_all_patches(template: keras.Layer, size: tuple[int, ...]) -> None:
    model, x = model_of(template, size), correlated(300, size)
    rows = patches(model.layers[0], x)
    rows = rows.reshape(-1, model.layers[0].get_weights()[0][..., 0].size).astype(np.float64)
    found = covariances(model, x, ["it"])["it"]
    assert found.patches == len(rows)
    np.testing.assert_allclose(found.matrix, rows.T @ rows / len(rows), rtol=1e-12)


@pytest.mark.filterwarnings("ignore::rankline.src.compress.fit.covariance.CalibrationWarning")
@pytest.mark.parametrize(("method", "template", "size"), PLACES)
def test_table_is_the_measured_error_of_the_outputs(method: str, template: keras.Layer, size: tuple[int, ...]) -> None:
    model, x = model_of(template, size), correlated(200, size)
    (layer,) = model.layers
    kernel, bias = layer.get_weights()
    moments = {"it": covariances(model, x, ["it"])["it"].matrix}
    decomposition = methods.get(method)
    (table,) = decomposition.spectrum(kernel, covariance=moments["it"]).values()
    outputs = outputs_of(model, x) - bias
    for ranks in [(1, 2), (2, 3), (3, 1)]:
        ranks = ranks[: len(decomposition.suffixes) - 1]
        compressed = factorize(model, {"it": Configuration(method, ranks)}, covariances=moments)
        difference = outputs_of(compressed, x) - bias - outputs
        measured = np.linalg.norm(difference) / np.linalg.norm(outputs)
        assert table.error(ranks) == pytest.approx(measured, abs=1e-4), ranks
        plain = outputs_of(factorize(model, {"it": Configuration(method, ranks)}), x) - bias - outputs
        if method == "svd":
            assert measured <= np.linalg.norm(plain) / np.linalg.norm(outputs) + 1e-6


@pytest.mark.filterwarnings("ignore::rankline.src.compress.fit.covariance.CalibrationWarning")
@pytest.mark.parametrize("method", ["svd", "tucker"])
@pytest.mark.parametrize("deficiency", ["dead channels", "constant channel", "all alike", "few patches"])
def test_deficient_covariances_foretell_the_error_too(method: str, deficiency: str) -> None:
    model = model_of(layers.Conv2D(6, 3, name="it"), (6, 6, 4))  # no zeros around that would tell constants apart
    x = correlated(100, (6, 6, 4))
    if deficiency == "dead channels":
        x[..., [0, 2]] = 0
    elif deficiency == "constant channel":
        x[..., 1] = 3.0
    elif deficiency == "all alike":
        x[...] = x[..., :1]
    else:
        x = x[:1, :, :, :]
        x[:, 2:] = 0
    kernel, bias = model.layers[0].get_weights()
    moments = {"it": covariances(model, x, ["it"])["it"].matrix}
    assert np.linalg.matrix_rank(moments["it"]) < len(moments["it"])
    (table,) = methods.get(method).spectrum(kernel, covariance=moments["it"]).values()
    outputs = outputs_of(model, x) - bias
    for ranks in [(1, 2), (2, 4), (3, 3), (4, 6)]:
        ranks = ranks[: len(methods.get(method).suffixes) - 1]
        compressed = factorize(model, {"it": Configuration(method, ranks)}, covariances=moments)
        measured = np.linalg.norm(outputs_of(compressed, x) - bias - outputs) / np.linalg.norm(outputs)
        assert table.error(ranks) == pytest.approx(measured, abs=1e-4), ranks


def shared() -> keras.Model:
    """One convolution at two places of different sizes, and a dense layer in an inner model that is called twice."""
    a, b = keras.Input((6, 6, 3), name="a"), keras.Input((4, 4, 3), name="b")
    conv = layers.Conv2D(4, 3, padding="same", name="conv")
    inner_in = keras.Input((4,))
    inner = keras.Model(inner_in, layers.Dense(4, activation="relu", name="fc")(inner_in), name="inner")
    pool = layers.GlobalAveragePooling2D()
    return keras.Model([a, b], inner(inner(layers.Add()([pool(conv(a)), pool(conv(b))]))))


def test_layers_that_are_used_in_several_places_count_all_of_them() -> None:
    model, x = shared(), [correlated(50, (6, 6, 3)), correlated(50, (4, 4, 3))]
    found = covariances(model, [x], ["conv", "inner/fc"])
    rows = [patches(model.get_layer("conv"), one).reshape(-1, 27).astype(np.float64) for one in x]
    both = np.concatenate(rows)
    assert found["conv"].patches == 50 * (36 + 16)
    np.testing.assert_allclose(found["conv"].matrix, both.T @ both / len(both), rtol=1e-12)
    assert found["inner/fc"].patches == 100


def test_batches_of_every_kind_give_the_same() -> None:
    model, x = model_of(*GEOMETRIES[5]), correlated(100, (6, 7, 3))
    whole = covariances(model, x, ["it"])["it"]
    batches: list[Any] = [
        [x[:30], x[30:]],
        ((x[start : start + 7], np.zeros(7)) for start in range(0, 100, 7)),
        [keras.ops.convert_to_tensor(x)],
    ]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        batches.append(tf.data.Dataset.from_tensor_slices((x, np.zeros(100))).batch(32))
    for samples in batches:
        found = covariances(model, samples, ["it"])["it"]
        assert found.patches == whole.patches
        np.testing.assert_allclose(found.matrix, whole.matrix, rtol=1e-10)


def test_small_chunks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = model_of(*GEOMETRIES[6]), correlated(50, (7, 8, 3))
    whole = covariances(model, x, ["it"])["it"]
    monkeypatch.setattr("rankline.src.compress.fit.covariance.CHUNK_ELEMENTS", 500)
    np.testing.assert_allclose(covariances(model, x, ["it"])["it"].matrix, whole.matrix, rtol=1e-12)


def test_a_share_of_the_positions_is_drawn_by_the_seed() -> None:
    model, x = model_of(*GEOMETRIES[5]), correlated(400, (6, 7, 3))
    whole = covariances(model, x, ["it"])["it"].matrix
    some, again, other = (covariances(model, x, ["it"], positions=0.25, seed=seed)["it"] for seed in (1, 1, 2))
    assert some.patches == pytest.approx(0.25 * 400 * 42, rel=0.01)
    np.testing.assert_array_equal(some.matrix, again.matrix)
    assert np.any(some.matrix != other.matrix)
    assert np.linalg.norm(some.matrix - whole) < 0.1 * np.linalg.norm(whole)


@pytest.mark.parametrize(("template", "size"), [GEOMETRIES[1], GEOMETRIES[3], GEOMETRIES[6]])
def test_the_centred_covariance_is_numpys(template: keras.Layer, size: tuple[int, ...]) -> None:
    model, x = model_of(template, size), correlated(100, size)
    rows = patches(model.layers[0], x)
    rows = rows.reshape(-1, model.layers[0].get_weights()[0][..., 0].size).astype(np.float64)
    found = covariances(model, x, ["it"])["it"]
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(found.centred, np.cov(rows, rowvar=False, bias=True), atol=1e-10)


def test_the_share_of_positions_is_that_of_each_layer() -> None:
    model, x = shared(), [correlated(50, (6, 6, 3)), correlated(50, (4, 4, 3))]
    found = covariances(model, [x], ["conv", "inner/fc"], {"conv": 0.5, "inner/fc": 1.0})
    assert found["conv"].patches == 50 * (36 + 16) // 2
    assert found["inner/fc"].patches == 100
    with pytest.raises(UserError, match="positions must be a share above 0"):
        covariances(model, [x], ["conv"], {"conv": 1.5})


def test_few_patches_and_large_ones_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(layers.Dense(5, name="it"), (7,))
    with pytest.warns(CalibrationWarning, match="layer 'it': 69 patches of 7 dimensions, fewer than 10 for each"):
        covariances(model, correlated(69, (7,)), ["it"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(covariances(model, correlated(70, (7,)), ["it"])["it"], Covariance)
    monkeypatch.setattr("rankline.src.compress.fit.covariance.LARGEST_PATCH", 6)
    with pytest.warns(CalibrationWarning, match="'it' gets no covariance: its patches have 7 dimensions, above 6"):
        assert covariances(model, correlated(70, (7,)), ["it"]) == {}


def test_many_layers_with_few_patches_are_told_in_one_warning() -> None:
    model = keras.Sequential([keras.Input((7,)), *(layers.Dense(size, name=f"d{size}") for size in (30, 20, 9))])
    with pytest.warns(CalibrationWarning) as told:
        covariances(model, correlated(150, (7,)), ["d30", "d20", "d9"])
    assert [str(one.message).partition(";")[0] for one in told] == [
        "layer 'd20': 150 patches of 30 dimensions, fewer than 10 for each (and 1 more with fewer than 10 for each)"
    ]


def test_covariances_that_would_not_fit_into_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(layers.Dense(5, name="it"), (7,))
    monkeypatch.setattr("rankline.src.compress.fit.covariance.available_bytes", lambda: 8 * 7 * 7 - 1)
    with pytest.raises(UserError, match=r"the covariances of 1 layers take .* leave the widest out, such as 'it'"):
        covariances(model, correlated(70, (7,)), ["it"])
    monkeypatch.setattr("rankline.src.compress.fit.covariance.available_bytes", lambda: 8 * 7 * 7)
    assert covariances(model, correlated(70, (7,)), ["it"])


def test_layers_with_the_same_patches_share_their_sums() -> None:
    x = keras.Input((8, 8, 3))
    both = [layers.Conv2D(4, 1, strides=2, name=name)(x) for name in ("first", "shortcut")]
    other = layers.Conv2D(4, 1, name="other")(x)
    model = keras.Model(x, [*both, other])
    found = covariances(model, correlated(40, (8, 8, 3)), ["first", "shortcut", "other"])
    assert found["first"] is found["shortcut"]
    assert found["first"].patches == 40 * 16
    assert found["other"].patches == 40 * 64


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        (np.ones((5, 8)), {}, r"samples are of shape \(8,\); model 'one' takes \(7,\)"),
        ([np.ones((5, 3, 7))], {}, r"samples are of shape \(3, 7\)"),
        (np.ones((0, 7)), {}, "there are no calibration samples"),
        ([], {}, "there are no calibration samples"),
        (np.full((100, 7), np.nan), {}, "layer 'it' gets NaN or infinity"),
        (np.ones((100, 7)), {"positions": 0.0}, "positions must be a share above 0"),
        (np.ones((100, 7)), {"paths": ["its"]}, "unknown layer 'its'; did you mean 'it'"),
    ],
)
def test_what_cannot_be_used_is_refused(samples: Any, options: dict[str, Any], message: str) -> None:
    model = keras.Sequential([keras.Input((7,)), layers.Dense(5, name="it")], name="one")
    with pytest.raises(UserError, match=message):
        covariances(model, samples, **{"paths": ["it"], **options})


def test_surgery_refuses_covariances_of_other_layers_and_sizes() -> None:
    model, plan = model_of(layers.Dense(5, name="it"), (7,)), {"it": Configuration("svd", (2,))}
    with pytest.raises(UserError, match="unknown layer 'other'"):
        factorize(model, plan, covariances={"other": np.eye(7)})
    with pytest.raises(UserError, match=r"layer 'it': the covariance must be \(7, 7\)"):
        factorize(model, plan, covariances={"it": np.eye(5)})
