"""The main job in one call: explore, search, deliver."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from compress.classifier import fitting
from compress.data import Data, data_from, load
from compress.deliver import Delivered, check_delivery, check_target, deliver
from compress.plan import Plan
from compress.search import Run, Settings, search
from db.database import Database, open_database
from db.runs import TrialRecord
from dse.source import load_model, network_name


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
    """Compresses a trained model from the database, which is explored first by the methods that it lacks.

    model: a Keras classifier or a MODEL text; data: a data name, ``compress.data.Data``, or the arrays
    (x_train, y_train, x_test, y_test), with (x_validation, y_validation) in between where they are apart;
    methods: ``{"conv": "tucker", "dense": "svd"}``; out: the .keras file to write (none: the model stays in
    memory); changes: fields of ``compress.search.Settings``, such as ``objective="flops"`` or ``max_drop=0.01``.
    Layers that are frozen (``trainable=False``) stay so. Raises UserError.
    """
    settings = replace(settings or Settings(), **changes)
    chosen = {f"{kind}_method": method for kind, method in (methods or {}).items()}
    settings = replace(settings, **chosen)  # type: ignore[arg-type]
    if out:
        check_target(Path(out))
    trained = load_model(model) if isinstance(model, str) else model
    if isinstance(data, str):
        data = load(data)
    elif not isinstance(data, Data):
        data = data_from(data)
    data = fitting(data, trained)
    check_delivery(trained, data, Path(out).parent if out else None)
    database = open_database(db) if isinstance(db, str) else db
    network = name or (network_name(model) if isinstance(model, str) else trained.name)
    _explore(database, trained, network, settings)
    run = search(trained, data, database, network, settings, on_trial, callbacks)
    with nullcontext(str(Path(out).parent)) if out else tempfile.TemporaryDirectory() as folder:
        target = Path(out) if out else Path(folder) / "model.keras"
        return Compression(trained, run, deliver(run, trained, data, database, target))


def _explore(database: Database, model: keras.Model, network: str, settings: Settings) -> None:
    """Explores the methods that the run needs and the network has no space of; spaces that stand are as wanted.

    SVD is for the convolutions that the method for convolutions doesn't apply to. Raises UserError where the
    database has a network of that name with other layers.
    """
    stored = set()
    if network in {row["name"] for row in database.networks()}:
        stored = {row["method"] for row in database.spaces(network)}
    needed = dict.fromkeys((settings.conv_method, settings.dense_method, "svd"))
    database.explore(model, name=network, methods=[method for method in needed if method not in stored])
