"""Stored measurements of files: what a model takes and is worth where it is deployed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import Engine, insert, select

from rankline.src.db.backends.engine import writing
from rankline.src.db.records.measure import ACCURACY, Measure
from rankline.src.db.records.row import Row
from rankline.src.db.schema import measurement
from rankline.src.dse.metric import LATENCY


@dataclass(frozen=True)
class Measurement(Row):
    """A file as a runtime on a machine runs it.

    - ``file``: its name; ``digest``: its SHA-256; ``bytes``: its size
    - ``model``: the SHA-256 of the weights of the Keras model that it was made of; None where that is not known
    - ``runtime``, ``version``, ``machine``: what ran it, and where
    - ``precision``: None where it is not known; ``threads``; ``batch``: samples in a call
    - ``latency_ps``, ``median_ps``: the least time of a call and the median, in picoseconds; ``spread``: see ``Timing``
    - ``data``, ``samples``: what it was scored on, and how many; ``score_name``, ``score``: by what, and what came out;
      ``keras_score``: of the Keras model on the same. None where there was nothing to score on
    - ``difference``: the largest difference of its outputs from the Keras model's, as a fraction of the range of these
    - ``measured_at``: ISO 8601, in UTC; ``settings``: how it was calibrated and scored
    """

    file: str
    digest: str
    bytes: int
    runtime: str
    version: str
    machine: str
    threads: int
    batch: int
    latency_ps: int
    median_ps: int
    spread: float
    measured_at: str
    precision: str | None = None
    model: str | None = None
    data: str | None = None
    samples: int | None = None
    score_name: str | None = None
    score: float | None = None
    keras_score: float | None = None
    difference: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def measure(self) -> Measure:
        """What it was judged by."""
        kept = self.settings.get("judged_by")
        return ACCURACY if kept is None else Measure(**kept)

    @property
    def told(self) -> str:
        """In a sentence, without the full stop."""
        parts = [f"{self.bytes:,} bytes", f"a call {LATENCY.text(self.latency_ps)}"]
        if self.score is not None:
            keras = "" if self.keras_score is None else f" (the Keras model {self.measure.text(self.keras_score)})"
            parts.append(f"{self.score_name} {self.measure.text(self.score)}{keras} on {self.samples:,} samples")
        return f"{self.file} ({self.runtime} {self.version}, {self.precision or UNKNOWN}): {', '.join(parts)}"


UNKNOWN = "precision not known"

DEPLOYED = "deployed"
"""Key of what made a trial: the measurement of its file for a runtime."""


def deployed_of(made_by: Mapping[str, Any]) -> Measurement | None:
    """The measurement of the file for a runtime that was written of a trial; None without one."""
    found = made_by.get(DEPLOYED)
    return Measurement(**found) if isinstance(found, Mapping) else None


COLUMNS = [measurement.c[one.name] for one in fields(Measurement)]


def record_measurement(engine: Engine, one: Measurement) -> None:
    """Stores a measurement."""
    values = {**one.as_dict(), "settings": json.dumps(one.settings, sort_keys=True)}
    with writing(engine).begin() as connection:
        connection.execute(insert(measurement).values(**values))


def measurements(engine: Engine, digest: str | None = None) -> list[Measurement]:
    """All measurements in the order in which they were made, or those of the file with this digest."""
    query = select(*COLUMNS).order_by(measurement.c.id)
    if digest is not None:
        query = query.where(measurement.c.digest == digest)
    with engine.connect() as connection:
        rows = connection.execute(query).mappings().all()
    return [Measurement(**{**row, "settings": json.loads(row["settings"])}) for row in rows]
