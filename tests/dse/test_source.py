"""What MODEL can be, and what is told when it is not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from keras import layers

from rankline.src.dse import zoo
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.source import load_model, load_network, network_of
from rankline.src.dse.layer import conv, dense
from rankline.src.dse.layers_file import read_layers, write_layers

DATA = Path(os.environ.get("RANKLINE_DATA", Path(__file__).parents[3] / "shared" / "data"))
PRETRAINED = {
    "cnn_fashion_mnist": (225_034, 4),
    "lenet_mnist": (431_080, 4),
    "resnet20_cifar10": (271_098, 20),
    "resnet56_cifar10": (857_082, 56),
    "resnet8_cifar10_mlperftiny": (78_666, 10),
    "voxnet_modelnet10": (644_250, 4),
}


def tiny() -> keras.Model:
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, name="first"), layers.Dense(2, name="last")], name="tiny"
    )


def entry(**more: object) -> dict[str, object]:
    return {"name": "fc", "kind": "dense", "in_channels": 4, "out_channels": 3, **more}


class TestLayersFile:
    def test_every_kind_of_layer_survives_the_round_trip(self, tmp_path: Path) -> None:
        inputs = keras.Input((8, 8, 4))
        x = layers.Conv2D(4, 3, dilation_rate=2, name="dilated")(inputs)
        x = layers.SeparableConv2D(6, 3, strides=2, padding="same", name="separable")(x)
        x = layers.Conv2D(6, 1, groups=2, name="grouped")(x) + x
        x = layers.LSTM(3, name="lstm")(layers.Reshape((-1, 6))(x))
        written = list(network_of(keras.Model(inputs, layers.Dense(2, name="head")(x))).layers)
        written += [conv("by_hand", (3,), 2, 3, (9,), padding="causal"), dense("tokens", 3, 4, positions=7)]
        written += [conv("grouped_by_hand", (3, 3), 4, 4, (5, 5), groups=2)]
        path = tmp_path / "net.json"
        path.write_text(write_layers(written))
        assert read_layers(path) == written
        assert not all(layer.sequential for layer in written)

    def test_the_example_of_the_design_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "net.json"
        path.write_text(
            '[{"name": "l1", "kind": "conv", "kernel": [3, 3], "in_channels": 256, "out_channels": 512, '
            '"in_size": [8, 8], "strides": [1, 1], "padding": "same"}, '
            '{"name": "l2", "kind": "dense", "in_channels": 400, "out_channels": 120, "positions": 197}]'
        )
        assert read_layers(path) == [conv("l1", (3, 3), 256, 512, (8, 8)), dense("l2", 400, 120, 197)]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("name: l1", "is not JSON"),
            ("\udcff", "is not UTF-8 text"),
            ('{"name": "l1"}', "is a JSON dict"),
            ("[]", "has no layers"),
            ("[3]", "entry 1 is 3"),
            (json.dumps([entry(), entry()]), "entry 2: the name 'fc' appears twice"),
            (json.dumps([entry(), {"kind": "dense"}]), "entry 2: a layer needs a 'name'"),
            (
                json.dumps([{"name": "c", "kind": "dense", "in_channels": 4}]),
                "entry 1: layer 'c': 'out_channels'.*missing",
            ),
            (json.dumps([entry(kernel=[3, 3])]), "no 'kernel'"),
            (json.dumps([entry(colour="red")]), "unknown field 'colour'"),
        ],
    )
    def test_a_wrong_file_is_refused_by_entry(self, tmp_path: Path, text: str, message: str) -> None:
        path = tmp_path / "net.json"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(UserError, match=message) as caught:
            read_layers(path)
        assert "net.json" in str(caught.value)

    def test_a_missing_file_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="No such file"):
            read_layers(tmp_path / "net.json")

    def test_it_is_a_network_but_not_a_model(self, tmp_path: Path) -> None:
        path = tmp_path / "net.json"
        path.write_text(write_layers([conv("c", (3, 3), 4, 8, (5, 5)), dense("d", 10, 2)]))
        network = load_network(str(path))
        assert (network.name, network.input_shape, network.params) == ("net", (), 9 * 32 + 20)
        with pytest.raises(UserError, match="no weights"):
            load_model(str(path))
        with pytest.raises(UserError, match="leave the input shape out"):
            load_network(str(path), (5, 5, 4))


class TestObjects:
    def test_a_model_a_list_of_layers_and_a_list_of_entries_are_networks(self) -> None:
        network = network_of(tiny())
        assert (network.name, network.input_shape, network.params) == ("tiny", ((4,),), 23)
        same = network_of(list(network.layers), name="same")
        assert (same.name, same.params, same.layers) == ("same", 18, network.layers)
        assert network_of([layer.as_dict() for layer in network.layers]).layers == network.layers

    @pytest.mark.parametrize("given", [None, "tiny.keras", 3, [], [entry(), entry()], [3]])
    def test_anything_else_is_refused(self, given: object) -> None:
        with pytest.raises(UserError):
            network_of(given)  # type: ignore[arg-type]


class TestSavedModels:
    @pytest.mark.parametrize("suffix", [".keras", ".h5"])
    def test_a_saved_model_comes_back_with_its_weights(self, tmp_path: Path, suffix: str) -> None:
        model = tiny()
        path = tmp_path / f"my_net{suffix}"
        model.save(path)
        loaded = load_model(str(path))
        for mine, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
            assert (mine == theirs).all()
        assert load_network(str(path)).name == "my_net"
        assert load_network(str(path)).layers == network_of(model).layers

    @pytest.mark.parametrize("suffix", [".keras", ".h5"])
    @pytest.mark.parametrize("deep", [False, True])
    def test_a_lambda_layer_is_refused(self, tmp_path: Path, suffix: str, deep: bool) -> None:
        marker = tmp_path / "ran"
        inputs = keras.Input((4,))

        def run(x: object, marker: str = str(marker)) -> object:
            open(marker, "w").close()
            return x

        model = keras.Model(inputs, layers.Lambda(run, output_shape=(4,))(inputs))
        if deep:
            model = keras.Sequential([inputs, keras.Sequential([inputs, model, layers.Dense(2)])])
        path = tmp_path / f"net{suffix}"
        model.save(path)
        marker.unlink(missing_ok=True)
        with pytest.raises(UserError, match=r"Lambda.*package.module:function"):
            load_model(str(path))
        assert not marker.exists()

    def test_an_unknown_class_is_refused_with_the_way_out(self, tmp_path: Path) -> None:
        class Own(layers.Dense):
            pass

        path = tmp_path / "net.keras"
        keras.Sequential([keras.Input((4,)), Own(2)]).save(path)
        with pytest.raises(UserError, match=r"'Own'.*package.module:function") as caught:
            load_model(str(path))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("name", ["net.keras", "net.h5", "net.hdf5"])
    def test_a_file_that_is_something_else_is_refused(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        with pytest.raises(UserError, match="there is no file"):
            load_model(str(path))
        path.write_text("hello")
        with pytest.raises(UserError, match="holds no Keras model"):
            load_model(str(path))

    def test_a_file_of_weights_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "net.weights.h5"
        tiny().save_weights(path)
        with pytest.raises(UserError, match="weights alone are not enough"):
            load_model(str(path))

    @pytest.mark.parametrize(("name", "numbers"), PRETRAINED.items())
    def test_pretrained_models_are_read_whole(self, name: str, numbers: tuple[int, int]) -> None:
        path = DATA / "models" / f"{name}.keras"
        if not path.is_file():
            pytest.skip(f"{path} is missing; set RANKLINE_DATA")
        network = load_network(str(path))
        assert (network.params, len(network.layers)) == numbers
        assert not any(layer.kept_because for layer in network.layers)


class TestNames:
    def test_lenet5_has_61706_parameters(self) -> None:
        network = load_network("zoo:lenet5")
        assert (network.name, network.params, network.input_shape) == ("lenet5", 61_706, ((28, 28, 1),))
        assert [(layer.in_channels, layer.out_channels) for layer in network.layers] == [
            (1, 6), (6, 16), (400, 120), (120, 84), (84, 10),
        ]  # fmt: skip
        assert all(layer.sequential for layer in network.layers)
        assert zoo.build("lenet5", classes=3).output_shape == (None, 3)

    def test_known_networks_are_built_for_the_input_shape(self) -> None:
        lenet = load_network("zoo:lenet5", (32, 32, 1))
        assert lenet.layers[2].in_channels == 576
        mobile = load_network("app:MobileNetV2", [(96, 96, 3)])
        assert (mobile.name, mobile.params, mobile.input_shape) == ("MobileNetV2", 3_538_984, ((96, 96, 3),))
        assert len(mobile.layers) == 53
        assert mobile.layers[0].out_size == (48, 48)
        assert sum(layer.kind == "depthwiseconv2d" for layer in mobile.layers) == 17

    def test_a_function_is_imported_from_the_working_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", list(sys.path))
        Path("own_nets.py").write_text(
            "import keras\n"
            "def small():\n"
            "    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])\n"
            "def number():\n"
            "    return 3\n"
        )
        Path("broken_net.py").write_text("import does_not_exist_anywhere\n")
        network = load_network("own_nets:small")
        assert (network.name, network.params) == ("small", 10)
        with pytest.raises(UserError, match="it returned int"):
            load_model("own_nets:number")
        with pytest.raises(UserError, match="did you mean 'small'"):
            load_model("own_nets:smal")
        with pytest.raises(UserError, match="no module 'other_nets'"):
            load_model("other_nets.deep:small")
        with pytest.raises(ModuleNotFoundError, match="does_not_exist_anywhere"):
            load_model("broken_net:small")

    def test_a_network_that_is_built_twice_has_the_same_names(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", list(sys.path))
        Path("unnamed_net.py").write_text(
            "import keras\n"
            "def small():\n"
            "    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])\n"
        )
        mine = [layers.Dense(2) for _ in range(2)]
        for _ in range(2):
            assert [layer.name for layer in load_network("unnamed_net:small").layers] == ["dense", "dense_1"]
        assert layers.Dense(2).name not in {"dense", "dense_1", *(layer.name for layer in mine)}

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("app:ResNet51", r"unknown application 'ResNet51'; did you mean 'ResNet5\d"),
            ("app:resnet", "Possible: .*ResNet50"),
            ("zoo:lenet", "unknown zoo network 'lenet'; did you mean 'lenet5'"),
            ("app:", "does not name a model; possible:"),
            ("resnet.onnx", "is an ONNX model: .* MODEL may be a .keras or .h5 file"),
            ("resnet", "layers file"),
            ("a b:c", "does not name"),
        ],
    )
    def test_unknown_names_tell_what_is_possible(self, source: str, message: str) -> None:
        with pytest.raises(UserError, match=message):
            load_network(source)

    def test_an_input_shape_that_does_not_fit_is_refused(self) -> None:
        with pytest.raises(UserError, match="app:MobileNetV2 cannot be built"):
            load_model("app:MobileNetV2", (8, 8, 3))
        with pytest.raises(UserError, match="one input"):
            load_model("zoo:lenet5", [(28, 28, 1), (3,)])


def test_importing_does_not_load_keras() -> None:
    code = "import sys, rankline.src.dse.keras_model.source\n"
    code += "print(sorted({'keras', 'tensorflow', 'numba'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
