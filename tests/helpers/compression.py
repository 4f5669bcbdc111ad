"""The engine behind ``rankline.compress``, called with what that loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from rankline.src.compress.compression import Approach, Compression, compressed
from rankline.src.compress.data.classifier import fitting
from rankline.src.compress.data.sets import Data, data_from
from rankline.src.compress.runs.changes import with_changes
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.resume import stopped
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.runs.watch import Watch
from rankline.src.db.database import Database, open_database
from rankline.src.dse.devices.device import Device


def compress(
    model: keras.Model,
    data: Any,
    db: Database | str,
    *,
    settings: Settings,
    name: str | None = None,
    out: Path | None = None,
    device: Device | None = None,
    resume: int | None = None,
    **changes: Any,
) -> Compression:
    """A trained model compressed; data: ``Data``, or what ``data_from`` takes; changes: as in ``rankline.compress``.

    resume: a run to resume, whose device is the one on record.
    """
    how, approach, watch = with_changes(changes, settings, Approach(), Watch())
    found = fitting(data if isinstance(data, Data) else data_from(data), model)
    database = open_database(db) if isinstance(db, str) else db
    settings = approach.settings(how)
    request = {"request": {"strategy": approach.strategy}}
    if resume is not None:
        known = stopped(database.engine, resume, {"max_trials": settings.max_trials})
        settings, device = known.settings, known.device
    job = Job(
        model, found, database, name or str(model.name), watch.on_trial, watch.callbacks, approach.metric, request,
        device=device,
    )  # fmt: skip
    return compressed(job, approach, settings, out, watch, resume)
