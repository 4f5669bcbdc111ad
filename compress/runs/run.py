"""The result of a run: the chosen model and all trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras

from rankline.src.db.records.runs import LayerRecord, TrialRecord
from rankline.src.dse.plan import Plan


@dataclass(frozen=True)
class Run:
    """A finished run: the chosen model with its plan, and all trials as recorded, the original first.

    skipped: why layers were left unchanged, by name; parts: the runs that a hybrid combines.
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


def plan_of(record: TrialRecord | Sequence[LayerRecord]) -> Plan:
    """The plan of a trial, or of the records of its layers."""
    layers = record.layers if isinstance(record, TrialRecord) else record
    return {one.layer: one.configuration for one in layers if one.configuration}
