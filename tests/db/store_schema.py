"""Writes the stored database of the present schema: ``python -m tests.db.store_schema``, once a schema version."""

from __future__ import annotations

from pathlib import Path

from rankline.src.db.database import open_database
from rankline.src.db.records.measurements import Measurement
from rankline.src.db.records.runs import SUCCESS, LayerRecord, TrialRecord, finish_run, record_trial, start_run
from rankline.src.db.version import SCHEMA_VERSION
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.layer import conv, dense
from tests.helpers.devices import made_up_device

MEASURED = Measurement(
    file="small.tflite",
    digest="0" * 64,
    bytes=1000,
    runtime="litert",
    version="2.3.0",
    machine="a processor of 2 cores",
    threads=1,
    batch=1,
    latency_ps=2_000_000,
    median_ps=2_500_000,
    spread=0.01,
    measured_at="2026-11-28T12:00:00+00:00",
    precision="int8",
    model="1" * 64,
    data="digits",
    samples=360,
    score_name="accuracy",
    score=0.98,
    keras_score=0.99,
    difference=0.02,
    settings={"calibration": "digits"},
)


def store() -> Path:
    """A small file with every kind of row."""
    path = Path(__file__).parent / "schemas" / f"{SCHEMA_VERSION}.db"
    path.unlink(missing_ok=True)
    database = open_database(str(path))
    database.explore(
        [conv("c1", (3, 3), 4, 6, (8, 8)), conv("c2", (3, 3), 4, 6, (8, 8)), dense("d", 12, 10)], name="stored"
    )
    run = start_run(database.engine, database.network_id("stored"), {"objective": "params"}, seed=1)
    layers = (LayerRecord("c1", Configuration("tucker", (2, 3)), Cost(80, 700, 9000), 0.9, 0.2),)
    record_trial(database.engine, run, TrialRecord(1, "chosen", 0.9, 0.3, Cost(300, 900, 10_000), 1.5, layers))
    finish_run(database.engine, run, SUCCESS, 0.9, 0.3, 0.95)
    database.save_device(made_up_device())
    database.record_measurement(MEASURED)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return path


if __name__ == "__main__":
    print(store())
