"""The trained networks that the benchmarks compress, and their data. Needs RANKLINE_DATA."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import keras
import numpy as np

from rankline.src.compress.data.sets import Data, Scaling, data_from
from rankline.src.compress.training.fine_tuning import fine_tune
from rankline.src.compress.training.settings import FineTuning
from rankline.src.dse.zoo import build

DATA = Path(os.environ.get("RANKLINE_DATA", "../shared/data"))

CIFAR = Scaling(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Network:
    """A network with its data, how the inputs are scaled, and how it is made where it is not a pretrained file."""

    data: str
    scaling: Scaling
    build: Callable[[], keras.Model] | None = None
    training: FineTuning = field(default_factory=lambda: FineTuning(12, 1e-3, 128))


NETWORKS = {
    "lenet5_mnist": Network("mnist", Scaling(1 / 255), partial(build, "lenet5")),
    "lenet5_fashion_mnist": Network("fashion_mnist", Scaling(1 / 255), partial(build, "lenet5")),
    "lenet_mnist": Network("mnist", Scaling(1 / 255, (0.1307,), (0.3081,))),
    "cnn_fashion_mnist": Network("fashion_mnist", Scaling(1 / 255)),
    "resnet8_cifar10_mlperftiny": Network("cifar10", Scaling()),
    "resnet20_cifar10": Network("cifar10", CIFAR),
    "resnet56_cifar10": Network("cifar10", CIFAR),
    "vgg11_cifar10": Network("cifar10", CIFAR),
    "voxnet_modelnet10": Network("modelnet10_30", Scaling()),
    "m5_fsdd": Network(
        "fsdd",
        Scaling(1 / 32768),
        partial(build, "m5", input_shape=(8000, 1), classes=10),
        FineTuning(10, 1e-3, 32),
    ),
}
"""By name; one without a builder is the pretrained file ``models/NAME.keras``."""


def data_of(name: str, subset: int | None = None, seed: int = 0) -> Data:
    """The data of a network with its first ``subset`` training samples, 15 % of them held out to choose."""
    network = NETWORKS[name]
    with np.load(DATA / f"{network.data}.npz", allow_pickle=False) as file:
        x_train, y_train, x_test, y_test = (file[key] for key in ("x_train", "y_train", "x_test", "y_test"))
    if x_train.ndim in (2, 3):
        x_train, x_test = x_train[..., np.newaxis], x_test[..., np.newaxis]
    arrays = x_train[:subset], y_train[:subset], x_test, y_test
    return data_from(arrays, network.data, network.scaling, split_seed=seed)


def model_of(name: str, trained: Path, seed: int = 0) -> keras.Model:
    """The pretrained network, or one trained here on all its training samples and kept in the folder ``trained``."""
    network = NETWORKS[name]
    if network.build is None:
        return keras.models.load_model(DATA / "models" / f"{name}.keras")
    path = trained / f"{name}.keras"
    if not path.exists():
        keras.utils.set_random_seed(seed)
        model, data = network.build(), data_of(name, seed=seed)
        validation = data.x_validation, data.y_validation
        fine_tune(model, (data.x_train, data.y_train), validation, network.training, seed)
        trained.mkdir(parents=True, exist_ok=True)
        model.save(path)
    return keras.models.load_model(path)
