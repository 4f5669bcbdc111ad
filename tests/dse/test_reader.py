"""What the graph and the reader make of Keras models."""

from collections.abc import Callable
from math import prod

import keras
import pytest
from keras import layers

from rankline.src.dse.errors import UserError
from rankline.src.dse.formula import original_cost
from rankline.src.dse.keras_model.graph import trace
from rankline.src.dse.keras_model.reader import describe, read
from rankline.src.dse.layer import Layer
from rankline.src.dse.symbols import layer_shape


def by_name(model: keras.Model, **settings: object) -> dict[str, Layer]:
    return {layer.name: layer for layer in read(model, **settings)}


def one(layer: keras.Layer, shape: tuple[int | None, ...], dtype: str | None = None) -> keras.Model:
    """A model of a single layer."""
    inputs = keras.Input(shape, dtype=dtype)
    return keras.Model(inputs, layer(inputs))


def plain() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((12, 10, 3)),
            layers.Conv2D(8, (3, 2), strides=(2, 1), name="conv"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(5, name="dense"),
        ],
        name="plain",
    )


def backbone(size: int | None = None) -> keras.Model:
    inputs = keras.Input((size, size, 3))
    x = layers.Conv2D(4, 3, padding="same", name="conv")(inputs)
    return keras.Model(inputs, layers.Conv2D(8, 3, strides=2, name="down")(x), name="backbone")


def nested() -> keras.Model:
    """A backbone for any size, inside a Sequential model, inside a functional model."""
    middle = keras.Sequential(
        [keras.Input((None, None, 3)), backbone(), layers.GlobalAveragePooling2D()], name="middle"
    )
    inputs = keras.Input((16, 16, 3))
    return keras.Model(inputs, layers.Dense(2, name="head")(middle(inputs)))


def residual() -> keras.Model:
    inputs = keras.Input((8, 8, 4))
    stem = layers.Conv2D(4, 3, padding="same", name="stem")(inputs)
    x = layers.Conv2D(4, 3, padding="same", name="branch")(stem)
    x = keras.ops.relu(x + stem)
    return keras.Model(inputs, layers.Dense(3, name="head")(layers.Flatten()(x)))


def siamese() -> keras.Model:
    """Two inputs, a model and a layer that both go through, a layer for one alone."""
    tower = backbone()
    shared = layers.Dense(6, name="shared")
    left, right = keras.Input((9, 9, 3), name="left"), keras.Input((9, 9, 3), name="right")
    outputs = [shared(layers.Flatten()(tower(x))) for x in (left, right)]
    only = layers.Dense(6, name="only")(outputs[1])
    return keras.Model([left, right], layers.Dense(1, name="head")(layers.Add()([outputs[0], only])))


def tokens() -> keras.Model:
    inputs = keras.Input((5, 7, 16))
    return keras.Model(inputs, layers.Dense(3, name="last")(layers.Dense(4, name="tokens")(inputs)))


def separable() -> keras.Model:
    return one(layers.SeparableConv2D(6, 3, strides=2, depth_multiplier=2, padding="same", name="sep"), (8, 8, 3))


def volumes() -> keras.Model:
    inputs = keras.Input((6, 7, 8, 2))
    x = layers.Conv3D(3, (1, 2, 3), dilation_rate=(1, 2, 1), name="volume")(inputs)
    x = layers.Reshape((-1, 3))(x)
    return keras.Model(inputs, layers.Conv1D(4, 5, padding="causal", strides=2, name="causal")(x))


def folded(*steps: object) -> keras.Model:
    """Six frames of 12x10 with three channels, through functions and layers in turn."""
    x = inputs = keras.Input((6, 12, 10, 3))
    for step in steps:
        x = step(x)  # type: ignore[operator]
    return keras.Model(inputs, x)


def frames(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.ops.reshape(x, (-1, *x.shape[2:]))


def windows(x: keras.KerasTensor) -> keras.KerasTensor:
    """Swin's: 2x2 positions each, folded into the batch."""
    _, height, width, channels = x.shape
    x = keras.ops.reshape(x, (-1, height // 2, 2, width // 2, 2, channels))
    return keras.ops.reshape(keras.ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, 4, channels))


def one_frame_and_all(x: keras.KerasTensor) -> list[keras.KerasTensor]:
    return [x[:, 0], frames(x)]


def each(layer: keras.Layer) -> Callable[[list[keras.KerasTensor]], list[keras.KerasTensor]]:
    return lambda several: [layer(x) for x in several]


def columns_first(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.ops.transpose(x[:, 0], (2, 0, 1, 3))


class TestGraph:
    def test_calls_come_in_topological_order_with_their_inputs(self) -> None:
        calls = trace(residual())
        assert all(source < index for index, call in enumerate(calls) for source in call.inputs)
        assert [call.path for call in calls if isinstance(call.layer, keras.Layer)][1:] == [
            "stem", "branch", calls[-2].path, "head",
        ]  # fmt: skip
        add = next(call for call in calls if isinstance(call.layer, keras.Operation) and len(call.inputs) == 2)
        assert not isinstance(add.layer, keras.Layer)
        assert [calls[source].path for source in add.inputs] == ["branch", "stem"]
        assert add.in_shapes == ((8, 8, 4), (8, 8, 4))
        assert add.out_shapes == ((8, 8, 4),)
        assert [call.path for call in calls if call.is_output] == ["head"]

    def test_parallel_branches_come_in_the_order_of_the_model(self) -> None:
        inputs = keras.Input((4,))
        branches = [layers.Dense(3, name=f"branch{number}")(inputs) for number in range(4)]
        model = keras.Model(inputs, layers.Concatenate()(branches))
        in_model = [layer.name for layer in model.layers]
        assert [call.path for call in trace(model)] == in_model

    def test_nested_models_are_expanded_and_get_the_sizes_they_are_called_on(self) -> None:
        calls = {call.path: call for call in trace(nested())}
        assert calls["middle/backbone/conv"].in_shapes == ((16, 16, 3),)
        assert calls["middle/backbone/down"].out_shapes == ((7, 7, 8),)
        assert sum(isinstance(call.layer, layers.InputLayer) for call in calls.values()) == 1

    def test_a_model_called_twice_has_its_calls_twice(self) -> None:
        calls = trace(siamese())
        assert [call.path for call in calls].count("backbone/conv") == 2
        assert len({id(call.layer) for call in calls if call.path == "backbone/conv"}) == 1

    def test_a_nested_model_takes_named_inputs_by_name(self) -> None:
        named = {"z": keras.Input((2,), name="z"), "a": keras.Input((3,), name="a")}
        summed = layers.Dense(3, name="from_z")(named["z"]) + layers.Dense(3, name="from_a")(named["a"])
        inner = keras.Model(named, summed, name="inner")
        x, y = keras.Input((2,)), keras.Input((3,))
        calls = {call.path: call for call in trace(keras.Model([x, y], inner({"a": y, "z": x})))}
        assert calls["inner/from_z"].in_shapes == ((2,),)
        assert calls["inner/from_a"].inputs == (1,)

    def test_input_shape_replaces_the_declared_sizes(self) -> None:
        calls = {call.path: call for call in trace(backbone(16), (32, 20, 3))}
        assert calls["down"].out_shapes == ((15, 9, 8),)
        several = trace(siamese(), [(9, 9, 3), (9, 9, 3)])
        assert several[1].out_shapes == ((9, 9, 3),)

    def test_layers_without_a_size_of_their_own_are_recomputed(self) -> None:
        inputs = keras.Input((None, 8))
        x = keras.ops.relu(layers.MultiHeadAttention(2, 4, name="mha")(inputs, inputs))
        x = layers.LSTM(3, return_sequences=True, name="lstm")(x)
        model = keras.Model(inputs, layers.Concatenate(axis=1)([x, x[:, :2]]))
        assert trace(model)[-1].out_shapes == ((None, 3),)
        assert trace(model, (6, 8))[-1].out_shapes == ((8, 3),)

    def test_a_mask_is_one_more_input(self) -> None:
        inputs = keras.Input((None,), dtype="int32")
        x = layers.Embedding(10, 4, mask_zero=True)(inputs)
        model = keras.Model(inputs, layers.LSTM(3)(x))
        assert trace(model, (6,))[-1].in_shapes == ((6, 4), (6,))

    @pytest.mark.parametrize("shape", [(8, 8, 1), (8, 8), (2, 2, 3), [(8, 8, 3), (8, 8, 3)], (8, 8, 0), (8, 8, None)])
    def test_a_shape_that_does_not_fit_is_refused(self, shape: object) -> None:
        with pytest.raises(UserError, match="shape"):
            trace(backbone(), shape)  # type: ignore[arg-type]

    def test_a_size_that_a_dense_layer_cannot_take_is_refused_by_name(self) -> None:
        with pytest.raises(UserError, match="'dense' would get"):
            trace(plain(), (20, 20, 3))

    def test_a_model_that_was_never_built_says_so_and_is_built_with_a_shape(self) -> None:
        model = keras.Sequential([layers.Dense(3), layers.Dense(2)])
        with pytest.raises(UserError, match=r"never built.*--input-shape"):
            trace(model)
        assert trace(model, (5,))[-1].out_shapes == ((2,),)

    def test_a_subclassed_model_is_refused_with_the_way_out(self) -> None:
        class Own(keras.Model):
            def __init__(self) -> None:
                super().__init__()
                self.dense = layers.Dense(2)

            def call(self, x: object) -> object:
                return self.dense(x)

        model = Own()
        with pytest.raises(UserError, match="subclassed"):
            trace(model)
        x = keras.Input((4,))
        assert read(keras.Model(x, model.call(x)))[0].in_channels == 4
        (inside,) = read(keras.Model(x, Own()(x)))
        assert (inside.kind, inside.kept_params) == ("own", 8)
        assert "call of its own" in (inside.kept_because or "")


class TestFactorizable:
    def test_conv_and_dense_are_read_with_their_numbers(self) -> None:
        conv, dense = read(plain())
        assert conv == Layer(
            "conv", "conv", 3, 8, kernel=(3, 2), in_size=(12, 10), out_size=(5, 9), strides=(2, 1), padding="valid",
            dilation=(1, 1),
        )  # fmt: skip
        assert dense == Layer("dense", "dense", 5 * 9 * 8, 5)

    @pytest.mark.parametrize("model", [plain(), nested(), residual(), siamese(), tokens(), separable(), volumes()])
    def test_costs_are_the_kernels_and_the_outputs_of_the_model(self, model: keras.Model) -> None:
        calls = trace(model)
        for layer in read(model):
            if layer.name == "sep/depthwise":
                continue
            uses = [call for call in calls if call.path == layer.name.removesuffix("/pointwise")]
            kernel = getattr(uses[0].layer, "pointwise_kernel" if layer.name == "sep/pointwise" else "kernel")
            cost = original_cost(layer_shape(layer))
            assert cost.params == prod(kernel.shape)
            assert cost.fm == sum(prod(use.out_shapes[0]) for use in uses)
            assert cost.flops == 2 * cost.fm * cost.params // layer.out_channels

    def test_names_are_paths(self) -> None:
        assert list(by_name(nested())) == ["middle/backbone/conv", "middle/backbone/down", "head"]

    def test_a_dense_layer_on_token_axes_has_positions(self) -> None:
        assert [layer.positions for layer in read(tokens())] == [35, 35]

    def test_a_shared_layer_is_one_entry_with_all_positions(self) -> None:
        read_layers = by_name(siamese())
        assert read_layers["shared"].positions == 2
        assert read_layers["backbone/conv"].positions == 2
        assert read_layers["backbone/conv"].in_size == (9, 9)
        assert read_layers["only"].positions == 1

    def test_a_dense_layer_shared_at_several_lengths_sums_them(self) -> None:
        shared = layers.Dense(2, name="shared")
        short, long = keras.Input((3, 4)), keras.Input((5, 4))
        assert read(keras.Model([short, long], [shared(short), shared(long)]))[0].positions == 8

    def test_a_convolution_shared_at_several_sizes_is_kept_with_exact_counts(self) -> None:
        conv = layers.Conv2D(4, 3, padding="same", name="conv")
        inputs = keras.Input((8, 8, 4))
        (layer,) = read(keras.Model(inputs, conv(layers.MaxPooling2D()(conv(inputs)))))
        assert "several sizes" in (layer.kept_because or "")
        assert (layer.kind, layer.kept_params, layer.kept_fm) == ("conv2d", 144, 80 * 4)
        assert layer.kept_macs == 80 * 144

    @pytest.mark.parametrize(
        ("model", "positions"),
        [
            (folded(frames, layers.Conv2D(4, 3, name="it")), 6),
            (folded(frames, windows, layers.Dense(4, name="it")), 6 * 30 * 4),
            (folded(columns_first, layers.Dense(4, name="it")), 10 * 12),
            (folded(lambda x: keras.ops.concatenate([x, x, x], axis=0), frames, layers.Conv2D(4, 3, name="it")), 18),
            (folded(lambda x: keras.ops.repeat(x[:, 0], 5, axis=0), layers.Conv2D(4, 3, name="it")), 5),
            (folded(lambda x: keras.ops.mean(x, axis=0), layers.Conv2D(4, 3, name="it")), 6),
            (folded(frames, keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(4, 3)], name="it")), 6),
            (folded(frames, layers.GlobalMaxPooling2D(), lambda x: keras.ops.reshape(x, (-1, 18)),
                    layers.Dense(4, name="it")), 1),
            (folded(one_frame_and_all, each(layers.Conv2D(4, 3, name="it"))), 1 + 6),
        ],
    )  # fmt: skip
    def test_what_is_folded_into_the_batch_passes_a_layer_as_often(self, model: keras.Model, positions: int) -> None:
        assert [layer.positions for layer in read(model)] == [positions]

    def test_kept_layers_count_what_is_folded_into_the_batch(self) -> None:
        kept = [layers.DepthwiseConv2D(3, name="depthwise"), layers.Conv2DTranspose(2, 3, name="transposed")]
        found = by_name(folded(frames, *kept, layers.SeparableConv2D(4, 3, name="both")))
        assert found["depthwise"].kept_fm == 6 * 10 * 8 * 3
        assert found["depthwise"].kept_macs == 6 * 10 * 8 * 9 * 3
        assert found["transposed"].kept_macs == 6 * 10 * 8 * 9 * 3 * 2
        assert found["both/depthwise"].kept_fm == 6 * 10 * 8 * 2
        assert found["both/pointwise"].positions == 6

    def test_a_batch_of_a_fixed_size_is_several_samples(self) -> None:
        inputs = keras.Input(batch_shape=(4, 6, 12, 10, 3))
        model = keras.Model(inputs, layers.Conv2D(4, 3, name="it")(keras.ops.reshape(inputs, (24, 12, 10, 3))))
        assert by_name(model)["it"].positions == 6

    def test_an_unknown_number_of_frames_is_refused(self) -> None:
        inputs = keras.Input((None, 12, 10, 3))
        model = keras.Model(inputs, layers.Conv2D(4, 3)(frames(inputs)))
        with pytest.raises(UserError, match=r"shape \(None, 12, 10, 3\)"):
            read(model)
        assert read(model, (6, 12, 10, 3))[0].positions == 6

    def test_channels_first_sizes_are_found(self) -> None:
        conv = layers.Conv2D(5, 3, strides=(2, 1), data_format="channels_first", name="conv")
        (layer,) = read(one(conv, (3, 9, 12)))
        assert (layer.in_channels, layer.in_size, layer.out_channels, layer.out_size) == (3, (9, 12), 5, (4, 10))

    def test_a_separable_convolution_is_a_kept_and_a_pointwise_part(self) -> None:
        depthwise, pointwise = read(separable())
        assert (depthwise.name, depthwise.kind) == ("sep/depthwise", "separableconv2d")
        assert "depthwise" in (depthwise.kept_because or "")
        assert (depthwise.kept_params, depthwise.kept_fm) == (9 * 3 * 2, 16 * 6)
        assert depthwise.kept_macs == 16 * 54
        assert pointwise == Layer(
            "sep/pointwise", "conv", 6, 6, kernel=(1, 1), in_size=(4, 4), out_size=(4, 4), strides=(1, 1),
            dilation=(1, 1),
        )  # fmt: skip

    def test_a_separable_convolution_at_several_sizes_is_kept_whole(self) -> None:
        conv = layers.SeparableConv1D(4, 3, padding="same", name="sep")
        inputs = keras.Input((8, 4))
        depthwise, pointwise = read(keras.Model(inputs, conv(layers.MaxPooling1D()(conv(inputs)))))
        assert depthwise.kept_macs == 12 * 12
        assert (pointwise.kept_params, pointwise.kept_fm, pointwise.kept_macs) == (16, 48, 12 * 16)

    def test_undefined_sizes_are_refused_until_a_shape_is_given(self) -> None:
        with pytest.raises(UserError, match=r"'conv'.*--input-shape 224,224,3"):
            read(backbone())
        assert read(backbone(), (16, 16, 3))[0].in_size == (16, 16)

    def test_describe_tells_the_whole_model(self) -> None:
        model = siamese()
        shape = describe(model)
        assert shape.name == model.name
        assert shape.input_shape == ((9, 9, 3), (9, 9, 3))
        assert shape.params == model.count_params()
        assert list(shape.layers) == read(model)


class TestSequential:
    """``sequential``: every path from an input to an output goes through the layer."""

    def test_a_branch_with_a_shortcut_is_not_sequential(self) -> None:
        flags = {name: layer.sequential for name, layer in by_name(residual()).items()}
        assert flags == {"stem": True, "branch": False, "head": True}

    def test_a_shared_layer_on_every_path_is_sequential(self) -> None:
        flags = {name: layer.sequential for name, layer in by_name(siamese()).items()}
        assert flags == {
            "backbone/conv": True, "backbone/down": True, "shared": True, "only": False, "head": True,
        }  # fmt: skip

    def test_the_heads_of_two_outputs_are_not_sequential(self) -> None:
        inputs = keras.Input((4,))
        x = layers.Dense(3, name="trunk")(inputs)
        model = keras.Model(inputs, [layers.Dense(2, name="a")(x), layers.Dense(2, name="b")(x)])
        assert {layer.name: layer.sequential for layer in read(model)} == {"trunk": True, "a": False, "b": False}

    def test_an_output_in_the_middle_makes_the_rest_not_sequential(self) -> None:
        inputs = keras.Input((4,))
        first = layers.Dense(3, name="first")(inputs)
        model = keras.Model(inputs, [first, layers.Dense(2, name="second")(first)])
        assert [layer.sequential for layer in read(model)] == [True, False]


class OwnDense(layers.Dense):
    def call(self, inputs: object, training: object = None) -> object:
        return super().call(inputs) * 2


class OwnConv(layers.Conv2D):
    def convolution_op(self, inputs: object, kernel: object) -> object:
        return super().convolution_op(inputs, kernel / 2)


class Tagged(layers.Dense):
    """A subclass that computes as its base does."""


class TestKept:
    @pytest.mark.parametrize(
        ("layer", "shape", "reason", "params", "fm", "macs"),
        [
            (layers.Conv2D(8, 3, groups=4, padding="same"), (6, 6, 4), "grouped", 72, 288, 36 * 72),
            (layers.DepthwiseConv2D(3, depth_multiplier=2), (6, 6, 4), "depthwise", 72, 128, 16 * 72),
            (layers.DepthwiseConv1D(3, strides=2, padding="same"), (6, 4), "depthwise", 12, 12, 3 * 12),
            (layers.Conv1DTranspose(5, 3, strides=2), (6, 4), "transposed", 60, 65, 6 * 60),
            (layers.Conv2DTranspose(5, 3, strides=2, padding="same"), (6, 6, 4), "transposed", 180, 720, 36 * 180),
            (layers.Embedding(10, 4), (6,), "embedding", 40, 24, 0),
            (layers.LSTM(3), (6, 4), "recurrent", 84, 3, None),
            (layers.GRU(3, return_sequences=True), (6, 4), "recurrent", 81, 18, None),
            (layers.SimpleRNN(3), (6, 4), "recurrent", 21, 3, None),
            (layers.RNN(layers.LSTMCell(3)), (6, 4), "recurrent", 84, 3, None),
            (layers.Bidirectional(layers.LSTM(3)), (6, 4), "recurrent", 168, 6, None),
            (layers.ConvLSTM1D(2, 3), (4, 6, 3), "recurrent", 3 * 5 * 8, 8, None),
            (layers.TimeDistributed(layers.Dense(3)), (6, 4), "TimeDistributed", 12, 18, None),
            (layers.EinsumDense("abc,cd->abd", (6, 3)), (6, 4), "EinsumDense", 12, 18, None),
            (layers.PReLU(), (3, 2), "PReLU", 6, 6, None),
            (OwnDense(3), (4,), "OwnDense has a call of its own", 12, 3, None),
            (OwnConv(2, 3), (5, 5, 1), "OwnConv has a call of its own", 18, 18, None),
        ],
    )
    def test_layers_are_kept_with_a_reason_and_their_counts(
        self, layer: keras.Layer, shape: tuple[int, ...], reason: str, params: int, fm: int, macs: int | None
    ) -> None:
        (kept,) = read(one(layer, shape, "int32" if isinstance(layer, layers.Embedding) else None))
        assert kept.kind == type(layer).__name__.lower()
        assert reason in (kept.kept_because or "")
        assert (kept.kept_params, kept.kept_fm, kept.kept_macs) == (params, fm, macs)

    @pytest.mark.parametrize(
        "layer",
        [layers.MultiHeadAttention(2, 4), layers.GroupQueryAttention(4, num_query_heads=2, num_key_value_heads=1)],
    )
    def test_attention_is_kept(self, layer: keras.Layer) -> None:
        inputs = keras.Input((6, 8))
        (kept,) = read(keras.Model(inputs, layer(inputs, inputs)))
        assert "attention" in (kept.kept_because or "")
        assert kept.kept_params == sum(prod(weight.shape) for weight in layer.weights if len(weight.shape) > 1)
        assert (kept.kept_fm, kept.kept_macs) == (48, None)

    def test_unknown_lengths_leave_feature_maps_unknown(self) -> None:
        inputs = keras.Input((None,), dtype="int32")
        x = layers.LSTM(3, name="lstm")(layers.Embedding(10, 4, name="table")(inputs))
        table, lstm, dense = read(keras.Model(inputs, layers.Dense(2, name="dense")(x)))
        assert (table.kept_fm, lstm.kept_fm, dense.positions) == (None, 3, 1)

    def test_a_subclass_that_computes_as_its_base_is_factorizable(self) -> None:
        assert read(one(Tagged(3), (4,)))[0].kept_because is None

    def test_layers_with_vectors_only_are_not_listed(self) -> None:
        inputs = keras.Input((6, 6, 4))
        x = layers.LayerNormalization()(layers.BatchNormalization()(inputs))
        assert read(keras.Model(inputs, layers.Activation("relu")(x))) == []

    def test_a_quantized_layer_is_kept(self) -> None:
        model = one(layers.Dense(4, name="dense"), (8,))
        model.quantize("int8")
        assert "quantized" in (read(model)[0].kept_because or "")
