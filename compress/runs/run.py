"""What a finished run leaves: the model that it chose, and its trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import keras

from rankline.src.db.records.runs import TrialRecord
from rankline.src.dse.plan import Plan


@dataclass(frozen=True)
class Run:
    """A finished run: the chosen model with its plan, and all trials as recorded, the original first.

    skipped: why layers were left as they are; parts: the runs that this one was put together from.
    """

    id: int
    status: str
    model: keras.Model
    plan: Plan
    original: TrialRecord
    chosen: TrialRecord
    trials: tuple[TrialRecord, ...]
    skipped: Mapping[str, str]
    parts: tuple[int, ...] = ()


def plan_of(record: TrialRecord) -> Plan:
    """The plan that a trial was made by."""
    return {one.layer: one.configuration for one in record.layers if one.configuration}
