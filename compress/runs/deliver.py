"""Handing over a compressed model: its file, its plan, and the figures of the file as it loads again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import keras

from rankline.src.compress.data.sets import Data
from rankline.src.compress.model.files import saved_and_loaded
from rankline.src.compress.runs.card import model_card
from rankline.src.compress.search.search import Run, cost_of
from rankline.src.compress.training.fine_tuning import Score, evaluate
from rankline.src.db.database import Database
from rankline.src.db.export import write_text
from rankline.src.db.records.runs import finish_run, recorded_end
from rankline.src.dse.plan import write_plan


@dataclass(frozen=True)
class Delivered:
    """The written files, and the scores of the reloaded model and of the original on the test part."""

    model: Path
    plan: Path
    card: Path
    test: Score
    original_test: Score
    bytes_on_disk: int


def deliver(run: Run, original: keras.Model, data: Data, database: Database, network: str, path: Path) -> Delivered:
    """Writes the run's model to ``path``, its plan and a model card next to it; closes the run with the test scores.

    The score is that of the saved and reloaded model, whose outputs must be those in memory. A run whose delivery
    fails is recorded as ``failed``.
    Raises UserError where the folder can't be written, RuntimeError where the file gives other outputs.
    """
    with recorded_end(database.engine, run.id):
        loaded = saved_and_loaded(run.model, path, [data.x_test])
        plan = path.with_suffix(".plan.json")
        write_plan(run.plan, plan)
        counted = cost_of(loaded)
        if counted != run.chosen.cost:
            raise RuntimeError(f"{path} has {counted.params:,} params and {counted.flops:,} FLOPs, not those on record")
        test = evaluate(loaded, data.x_test, data.y_test)
        before = evaluate(original, data.x_test, data.y_test)
        card = path.with_suffix(".md")
        write_text(card, model_card(run, network, data, test, before))
        finish_run(database.engine, run.id, run.status, test.accuracy, test.loss, before.accuracy)
    return Delivered(path, plan, card, test, before, path.stat().st_size)
