"""A database as the explorer meets it: LeNet-5 with errors and a run on record, and a network without weights."""

from __future__ import annotations

from pathlib import Path

import keras

from rankline.src.compress.fit.measured_errors import measure_errors
from rankline.src.db.database import open_database
from rankline.src.dse.keras_model.source import load_model
from rankline.src.dse.layer import conv
from tests.helpers import demo_database


def make(path: Path) -> None:
    """Writes it to a new file."""
    demo_database.make(path)
    database = open_database(str(path))
    keras.utils.set_random_seed(0)
    measure_errors(load_model("zoo:lenet5"), database, network="lenet5")
    database.explore([conv("only", (3, 3), 64, 64, (16, 16))], name="without weights")
    database.close()
