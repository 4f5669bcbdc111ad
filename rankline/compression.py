"""The main job in one call: explore, search, deliver."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from compress.data import Data, data_from, fitting, load
from compress.deliver import Delivered, check_target, deliver
from compress.plan import Plan
from compress.search import Run, Settings, search
from db.database import Database, open_database
from db.runs import TrialRecord
from dse.source import load_model


@dataclass(frozen=True)
class Compression:
    """A finished compression: the original, the compressed model with its plan and trials, and its file's figures."""

    original: keras.Model
    run: Run
    delivered: Delivered

    @property
    def model(self) -> keras.Model:
        """The compressed model."""
        return self.run.model

    @property
    def plan(self) -> Plan:
        """Each factorized layer's method and ranks."""
        return self.run.plan

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """Every trial as recorded, the original first."""
        return self.run.trials


def compress(
    model: keras.Model | str,
    data: Data | str | Sequence[Any],
    db: Database | str = "rankline.db",
    *,
    name: str | None = None,
    methods: Mapping[str, str] | None = None,
    out: str | Path | None = None,
    settings: Settings | None = None,
    on_trial: Callable[[TrialRecord], None] = lambda trial: None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **changes: Any,
) -> Compression:
    """Compresses a trained model from the database, which is explored first where it doesn't know the model.

    model: a Keras classifier or a MODEL text; data: a data name, ``compress.data.Data``, or the arrays
    (x_train, y_train, x_test, y_test); methods: ``{"conv": "tucker", "dense": "svd"}``; out: the .keras file
    to write (none: the model stays in memory); changes: fields of ``compress.search.Settings``, such as
    ``objective="flops"`` or ``max_drop=0.01``. Raises UserError.
    """
    settings = replace(settings or Settings(), **changes)
    chosen = {f"{kind}_method": method for kind, method in (methods or {}).items()}
    settings = replace(settings, **chosen)  # type: ignore[arg-type]
    if out:
        check_target(Path(out))
    trained = load_model(model) if isinstance(model, str) else model
    if isinstance(data, str):
        data = load(data, seed=settings.seed)
    elif not isinstance(data, Data):
        data = data_from(tuple(np.asarray(part) for part in data), seed=settings.seed)
    data = fitting(data, trained)
    database = open_database(db) if isinstance(db, str) else db
    network = name or (Path(model).stem if isinstance(model, str) else trained.name)
    database.explore(trained, name=network)
    run = search(trained, data, database, network, settings, on_trial, callbacks)
    with nullcontext(str(Path(out).parent)) if out else tempfile.TemporaryDirectory() as folder:
        target = Path(out) if out else Path(folder) / "model.keras"
        return Compression(trained, run, deliver(run, trained, data, database, target))
