"""The demo: LeNet-5 on scikit-learn's handwritten digits, trained, explored, compressed and reported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras

from rankline.api import compress
from rankline.cli.present.progress import bar, tell_trial
from rankline.src.compress.compression import Compression
from rankline.src.compress.data.arrays import each
from rankline.src.compress.data.sets import Data, load
from rankline.src.compress.model.files import save_model
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.training.epochs import EpochProgress
from rankline.src.compress.training.fine_tuning import fine_tune
from rankline.src.compress.training.settings import FineTuning
from rankline.src.db.database import Database, open_database
from rankline.src.dse.zoo.lenet5 import lenet5

TRAINING = FineTuning(epochs=40, learning_rate=2e-3, patience=10)
FINE_TUNING = FineTuning(epochs=15, learning_rate=2e-3, patience=6)


@dataclass(frozen=True)
class Demo:
    """The demo's files, data and compression."""

    original: Path
    compressed: Path
    report: Path
    database: Path
    data: Data
    compression: Compression


def run_demo(folder: Path, seed: int = 0) -> Demo:
    """Runs the main job end to end in ``folder``, which is created; files of an earlier demo are replaced."""
    from rankline.src.reports.report.html import write_report

    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / name for name in ("lenet5.keras", "small.keras", "report.html", "rankline.db")}
    _clear(paths["rankline.db"])
    data = load("digits")
    with bar("", "training LeNet-5") as report:
        model = trained(data, seed, [EpochProgress(report, "training LeNet-5: epochs")])
    save_model(model, paths["lenet5.keras"])
    database = open_database(str(paths["rankline.db"]))
    with bar("configurations") as report:
        database.explore(model, name="lenet5", progress=report)
    compression = compressed(model, data, database, paths["small.keras"], seed)
    write_report(database, paths["report.html"], network="lenet5", run=compression.run.id, seed=seed)
    database.close()
    return Demo(
        original=paths["lenet5.keras"],
        compressed=paths["small.keras"],
        report=paths["report.html"],
        database=paths["rankline.db"],
        data=data,
        compression=compression,
    )


def trained(data: Data, seed: int, callbacks: list[keras.callbacks.Callback]) -> keras.Model:
    """A trained LeNet-5, with layers in front that scale the 8x8 digits to its 28x28 input.

    It is trained with small random shifts and rotations, because there are only some 1,200 digits to learn from.
    """
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    before = [
        layers.Rescaling(1 / 16),
        layers.Resizing(28, 28),
        layers.RandomTranslation(0.08, 0.08, fill_mode="constant", seed=seed),
        layers.RandomRotation(0.04, fill_mode="constant", seed=seed),
    ]
    inputs = x = keras.Input(each(data.x_train)[0].shape[1:])
    for layer in (*before, *lenet5().layers[1:]):
        x = layer(x)
    model = keras.Model(inputs, x, name="lenet5")
    train, validation = (data.x_train, data.y_train), (data.x_validation, data.y_validation)
    fine_tune(model, train, validation, TRAINING, seed, callbacks)
    return model


def compressed(model: keras.Model, data: Data, database: Database, out: Path, seed: int) -> Compression:
    """Compresses the model's params, with at most 1.5 points of validation accuracy lost."""
    settings = Settings(fine_tuning=FINE_TUNING, seed=seed)
    with bar("", "compressing") as progress:
        return compress(
            model,
            data,
            database,
            name="lenet5",
            out=out,
            settings=settings,
            on_trial=tell_trial,
            progress=progress,
        )


def _clear(database: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
