"""The zoo's networks against the figures of the papers and implementations that they are written after.

Networks are counted without allocating weights, so that those of ImageNet cost nothing.
"""

import subprocess
import sys
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from rankline.src.dse import zoo
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.reader import describe
from rankline.src.dse.keras_model.source import load_model
from rankline.src.dse.network_cost import network_cost
from tests.helpers.rounding import assert_same_up_to_rounding

IMAGENET = {"input_shape": (224, 224, 3), "classes": 1000}

# Parameters and GFLOPs (of one multiply-accumulate each) from the ``num_params`` and ``_ops`` in torchvision's weights.
TORCHVISION = {
    "alexnet": (61_100_840, 0.714),
    "vgg11": (132_863_336, 7.609),
    "vgg16": (138_357_544, 15.470),
    "vgg19": (143_667_240, 19.632),
    "resnet18": (11_689_512, 1.814),
    "resnet34": (21_797_672, 3.664),
    "resnet50": (25_557_032, 4.089),
    "googlenet": (6_624_904, 1.498),
    "squeezenet": (1_235_496, 0.349),
    "densenet121": (7_978_856, 2.834),
    "mobilenetv2": (3_504_872, 0.301),
}

DEFAULTS = {
    # (25+1)6 + (150+1)16 + (400+1)120 + (120+1)84 + (84+1)10
    "lenet5": 61_706,
    # bearpaw/pytorch-classification says 2.47M: 23,296 + 307,392 + 663,936 + 884,992 + 590,080 + 2,570
    "alexnet": 2_472_266,
    # chengyangfu/pytorch-vgg-cifar10: the convolutions' 9,220,480, 14,714,688 and 20,024,384, and in each
    # 2 (512+1)512 + (512+1)10 = 530,442 in the dense layers
    "vgg11": 9_750_922,
    "vgg16": 15_245_130,
    "vgg19": 20_554_826,
    # bolunwang/backdoor: 896 + 9,248 + 18,496 + 36,928 + 73,856 + 147,584 in the convolutions, whose 2x2x128 features
    # go into (512+1)512 + (512+1)43
    "gtsrb_cnn": 571_723,
    # (125+1)32 + (864+1)32 + (6912+1)128 + (128+1)10
    "voxnet": 917_866,
    # (80+1)128 + (384+1)128 + (384+1)256 + (768+1)512, 2 (128+128+256+512) of normalization, (512+1)35
    "m5": 571_939,
    # kuangliu/pytorch-cifar
    "resnet18": 11_173_962,
    "resnet34": 21_282_122,
    "resnet50": 23_520_842,
    "densenet121": 6_956_298,
    # torchvision's, less the stem's 9,408 + 4,096 + 110,592 + 2 (64+64+192), less (1024+1)990, plus 5,184 + 2*192
    "googlenet": 5_490_986,
    # torchvision's, less (512+1)990
    "squeezenet": 727_626,
    # torchvision's, less (1280+1)990
    "mobilenetv2": 2_236_682,
    # 48*192+192 patches, 192 class token, 65*192 positions, 12 * 444,864 blocks, 384 normalization, (192+1)10
    "vit": 5_362_762,
    # 4 (768+1)768 + (768+1)3072 + (3072+1)768 + 2*1536. Twelve of them, (50,257+1,024)768 embeddings and 1,536 of
    # normalization are the 124,439,808 of GPT-2 small.
    "gpt2_block": 7_087_872,
}

OTHER_SIZES: list[tuple[str, dict[str, Any], int]] = [
    # Tutorials on GTSRB print 1,358,155 for their 48x48 images: (2048+1)512 in place of (512+1)512.
    ("gtsrb_cnn", {"input_shape": (48, 48, 3)}, 1_358_155),
    # ModelNet40, and the 30^3 of many ModelNet files: (4000+1)128 in place of (6912+1)128.
    ("voxnet", {"classes": 40}, 921_736),
    ("voxnet", {"input_shape": (30, 30, 30, 1)}, 545_130),
    # "M5 model, trainable params = 559,114" in philipperemy/very-deep-convnets-raw-waveforms; 0.5M in the paper.
    ("m5", {"input_shape": (32_000, 1), "classes": 10}, 559_114),
    # timm's vit_tiny_patch16_224
    ("vit", IMAGENET, 5_717_416),
]


@pytest.fixture(autouse=True)
def without_weights(request: pytest.FixtureRequest) -> Iterator[None]:
    """Models are built with variables that have a shape and no value, unless a test is marked to need values."""
    if "with_weights" in request.fixturenames:
        yield
        return
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.utils.clear_session(free_memory=False)  # forgets the variables, which Keras would otherwise still fill in


@pytest.fixture
def with_weights() -> None:
    """Asked for by tests that run or save a model."""


def trainable(model: keras.Model) -> int:
    """Parameters as PyTorch counts them: without the moving statistics of batch normalization."""
    return sum(prod(weight.shape) for weight in model.trainable_weights)


def outputs(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(inputs, training=False))


def test_the_zoo_is_the_fourteen_and_three_more() -> None:
    assert len(zoo.FOURTEEN) == len(set(zoo.FOURTEEN)) == 14
    assert list(zoo.ZOO) == [*zoo.FOURTEEN, "mobilenetv2", "vit", "gpt2_block"]
    assert set(DEFAULTS) == set(zoo.ZOO)
    with pytest.raises(UserError, match="did you mean 'vgg16'"):
        zoo.build("vgg_16")


@pytest.mark.parametrize(("name", "params"), DEFAULTS.items())
def test_parameters_at_the_default_size(name: str, params: int) -> None:
    model = zoo.build(name)
    assert model.name == name
    assert trainable(model) == params
    assert describe(model).params == model.count_params()


@pytest.mark.parametrize(("name", "figures"), TORCHVISION.items())
def test_parameters_and_flops_at_torchvisions_size(name: str, figures: tuple[int, float]) -> None:
    model = zoo.build(name, **IMAGENET)
    network = describe(model)
    flops = network_cost(network.params, network.layers).flops
    assert (trainable(model), round(flops / 2e9, 3)) == figures


@pytest.mark.parametrize(("name", "settings", "params"), OTHER_SIZES)
def test_parameters_at_other_sizes(name: str, settings: dict[str, Any], params: int) -> None:
    assert trainable(zoo.build(name, **settings)) == params


@pytest.mark.parametrize("name", zoo.ZOO)
def test_all_that_is_kept_are_depthwise_convolutions_and_embeddings(name: str) -> None:
    kept = [layer.kind for layer in describe(zoo.build(name)).layers if layer.kept_because]
    assert kept == {"mobilenetv2": ["depthwiseconv2d"] * 17, "vit": ["embedding"] * 2}.get(name, [])


@pytest.mark.parametrize("name", sorted(set(zoo.ZOO) - {"gpt2_block"}))
def test_classes_are_the_outputs_of_a_softmax(name: str) -> None:
    model = zoo.build(name, classes=7)
    assert model.output_shape == (None, 7)
    last = model.layers[-1]
    assert isinstance(last, layers.Softmax) or last.activation is keras.activations.softmax


@pytest.mark.parametrize("name", zoo.ZOO)
def test_a_network_survives_its_json(name: str) -> None:
    model = zoo.build(name)
    again = keras.models.model_from_json(model.to_json())
    assert describe(again) == describe(model)


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "googlenet", "mobilenetv2", "squeezenet"])
def test_the_cifar_stem_ends_at_64_pixels(name: str) -> None:
    sizes = {size: describe(zoo.build(name, input_shape=(size, size, 3))).layers[0] for size in (63, 64)}
    assert [sizes[63].strides, sizes[64].strides] == [(1, 1), (2, 2)]


def test_layers_are_named_after_their_place() -> None:
    names = [layer.name for layer in describe(zoo.build("resnet18")).layers]
    assert names[:3] == ["conv1", "layer1_block1_conv1", "layer1_block1_conv2"]
    assert {"layer2_block1_conv1", "layer2_block1_downsample", "layer4_block2_conv2"} < set(names)
    assert names[-1] == "fc"


def test_attention_is_read_at_every_token() -> None:
    entries = {layer.name: layer for layer in describe(zoo.build("gpt2_block")).layers}
    assert list(entries) == [
        f"block_{matrix}" for matrix in ("query", "key", "value", "projection", "fc1", "fc2")
    ]  # fmt: skip
    assert {layer.positions for layer in entries.values()} == {1024}


@pytest.mark.usefixtures("with_weights")
class TestRunning:
    @pytest.mark.parametrize(
        ("name", "settings"),
        [
            ("alexnet", {}),
            ("voxnet", {"input_shape": (16, 16, 16, 1)}),
            ("m5", {"input_shape": (4_000, 1)}),
            ("squeezenet", {}),
            ("mobilenetv2", {}),
            ("vit", {"width": 12, "depth": 1}),
            ("gpt2_block", {"input_shape": (5, 12), "heads": 3}),
        ],
    )
    def test_a_saved_network_gives_the_same_outputs(self, name: str, settings: dict[str, Any], tmp_path: Path) -> None:
        model = zoo.build(name, **settings)
        inputs = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("float32")
        path = tmp_path / "net.keras"
        model.save(path)
        before = outputs(model, inputs)
        assert np.isfinite(before).all()
        np.testing.assert_array_equal(outputs(load_model(str(path)), inputs), before)

    def test_separate_matrices_attend_as_keras_does(self) -> None:
        from rankline.src.dse.zoo.transformer import block

        inputs = keras.Input((5, 12))
        model = keras.Model(inputs, block(inputs, 3, "block"))
        inner = model.get_layer("block_norm1").output
        ours = keras.Model(inner, model.get_layer("block_projection").output)
        theirs = layers.MultiHeadAttention(3, 4)
        theirs.build((None, 5, 12), (None, 5, 12))
        weights = []
        for role in ("query", "key", "value"):
            kernel, bias = model.get_layer(f"block_{role}").get_weights()
            weights += [kernel.reshape(12, 3, 4), bias.reshape(3, 4)]
        kernel, bias = model.get_layer("block_projection").get_weights()
        theirs.set_weights([*weights, kernel.reshape(3, 4, 12), bias])
        x = np.random.default_rng(0).normal(size=(2, 5, 12)).astype("float32")
        assert_same_up_to_rounding(outputs(ours, x), keras.ops.convert_to_numpy(theirs(x, x)), roundings=100)

    @pytest.mark.parametrize("changed", [0, 4])
    def test_a_token_of_gpt2_sees_those_before_it(self, changed: int) -> None:
        model = zoo.build("gpt2_block", input_shape=(5, 12), heads=3)
        x = np.random.default_rng(0).normal(size=(1, 5, 12)).astype("float32")
        other = x.copy()
        other[:, changed, 0] += 1
        moved = np.abs(outputs(model, x) - outputs(model, other)).max(axis=(0, 2)) > 1e-6
        assert moved.tolist() == [token >= changed for token in range(5)]

    def test_a_patch_of_a_vision_transformer_has_a_place(self) -> None:
        model = zoo.build("vit", width=12, depth=1)
        image = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")
        assert np.abs(outputs(model, image) - outputs(model, image[:, ::-1])).max() > 1e-6


def test_the_list_of_networks_does_not_load_keras() -> None:
    code = "import sys, dse.zoo; print(len(dse.zoo.ZOO), 'keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["17", "False"]
