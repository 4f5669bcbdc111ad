"""The demo's database without training: LeNet-5 explored, the run that ``rankline demo`` recorded, and a device."""

from __future__ import annotations

import json
from pathlib import Path

from rankline.src.db.database import open_database
from rankline.src.db.records.runs import SUCCESS, LayerRecord, TrialRecord, finish_run, record_trial, start_run
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from tests.helpers.devices import made_up_device

RUN = Path(__file__).with_name("demo_run.json")


def make(path: Path) -> None:
    """Writes the database to a new file."""
    database = open_database(str(path))
    database.explore("zoo:lenet5", name="lenet5")
    stored = json.loads(RUN.read_text())
    run = start_run(database.engine, database.network_id("lenet5"), stored["settings"], stored["seed"])
    for one in stored["trials"]:
        number, status, accuracy, loss, params, fm, flops, seconds, making = one["trial"]
        layers = tuple(
            LayerRecord(name, Configuration(method, tuple(ranks)), Cost(*cost), similarity, error)
            for name, method, ranks, *cost, similarity, error in one["layers"]
        )
        cost = Cost(params, fm, flops)
        trial = TrialRecord(number, status, accuracy, loss, cost, seconds, layers, making)
        record_trial(database.engine, run, trial)
    finish_run(database.engine, run, SUCCESS, *stored["end"])
    database.save_device(made_up_device(tile=16))
    database.close()
