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
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.runs.watch import Watch
from rankline.src.db.database import Database, open_database


def compress(
    model: keras.Model,
    data: Any,
    db: Database | str,
    *,
    settings: Settings,
    name: str | None = None,
    out: Path | None = None,
    **changes: Any,
) -> Compression:
    """A trained model compressed; data: ``Data``, or what ``data_from`` takes; changes: as in ``rankline.compress``."""
    how, approach, watch = with_changes(changes, settings, Approach(), Watch())
    found = fitting(data if isinstance(data, Data) else data_from(data), model)
    database = open_database(db) if isinstance(db, str) else db
    job = Job(model, found, database, name or str(model.name), watch.on_trial, watch.callbacks, approach.metric)
    return compressed(job, approach, approach.settings(how), out, watch)
