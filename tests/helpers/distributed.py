"""A compression on two devices, in a process of its own: TensorFlow's devices are set once."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import keras
import tensorflow as tf

from rankline.api import compress
from rankline.src.compress.data.sets import Data
from rankline.src.compress.training.fine_tuning import evaluate, fine_tune
from rankline.src.compress.training.settings import FineTuning
from tests.helpers import killed


def main(location: str) -> None:
    """Compresses in the scope of a strategy, and prints what has come of it as JSON."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    data = killed.data()
    weights = trained(data).get_weights()  # outside, since epochs in the scope take several times as long
    with strategy.scope():
        model = two_layers()
        model.set_weights(weights)
        validation = data.x_validation, data.y_validation
        inside = evaluate(model, *validation).loss
        done = compress(model, data, location, settings=replace(killed.SETTINGS, max_trials=1))
    outside = evaluate(model, *validation).loss
    mirrored = all(isinstance(weight.value, tf.distribute.DistributedValues) for weight in done.model.weights)
    found = {
        "devices": strategy.num_replicas_in_sync,
        "mirrored": mirrored,
        "status": done.run.status,
        "loss of the original": [inside, outside],
        "losses": [trial.loss for trial in done.trials],
        "params": [trial.cost.params for trial in done.trials],
        "counted": done.model.count_params(),
        "test": done.delivered.test.accuracy,
    }
    print(json.dumps(found))


def two_layers() -> keras.Model:
    """A network of two layers, as it is built."""
    layers = keras.layers
    kernels = [
        layers.Conv2D(8, 3, name="conv"), layers.BatchNormalization(), layers.ReLU(), layers.Flatten(),
        layers.Dense(4, name="classes"),
    ]  # fmt: skip
    return keras.Sequential([keras.Input((8, 8, 1)), *kernels], name="two_devices")


def trained(data: Data) -> keras.Model:
    """One that knows the stripes."""
    keras.utils.set_random_seed(0)
    model = two_layers()
    tuning = FineTuning(epochs=10, learning_rate=3e-3, batch_size=64, patience=10)
    fine_tune(model, (data.x_train, data.y_train), (data.x_validation, data.y_validation), tuning, seed=0)
    return model


if __name__ == "__main__":
    main(sys.argv[1])
