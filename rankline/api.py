"""The calls of ``import rankline``: what is given by name or file is opened here, and the engine called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from rankline.src.compress.approach import Approach
from rankline.src.compress.budget.allocate import Allocation
from rankline.src.compress.budget.calibrated_model import CalibratedModel
from rankline.src.compress.budget.limits import budgets_of, check_possible
from rankline.src.compress.budget.run import Budgeted, run_budget
from rankline.src.compress.budget.settings import BudgetSettings
from rankline.src.compress.compression import Compression, compressed
from rankline.src.compress.data.calibration import calibration_of
from rankline.src.compress.data.classifier import fitting
from rankline.src.compress.data.sets import Data, Scaling, check_data, data_from, load
from rankline.src.compress.fit.refit import FitSettings
from rankline.src.compress.model.destination import check_folder, check_target
from rankline.src.compress.runs.changes import with_changes
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.resume import Stopped, stopped
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.runs.watch import Watch
from rankline.src.compress.search.patterns import check_patterns
from rankline.src.db.backends.engine import check_database
from rankline.src.db.database import Database, open_database
from rankline.src.dse.keras_model.source import check_model, load_model, network_name
from rankline.src.dse.plan import Plan
from rankline.src.dse.progress import Progress, no_progress

KEEP = "keep_"
"""How the arguments begin that are budgets of a metric."""


def compress(
    model: keras.Model | str,
    data: Data | str | Sequence[Any],
    db: Database | str = "rankline.db",
    *,
    name: str | None = None,
    out: str | Path | None = None,
    settings: Settings | None = None,
    **changes: Any,
) -> Compression:
    """Compresses a trained model from the database, which is explored first by the methods that it lacks.

    model: a Keras classifier or a MODEL text; data: a data name, ``Data``, the arrays (x_train, y_train, x_test,
    y_test), with (x_validation, y_validation) in between where they are apart, or ``tf.data`` sets (train, test) or
    (train, validation, test), which must fit into memory (see ``data_from``); name: of the network in the database;
    out: the .keras file to write (None: the model stays in memory); changes: fields of ``Settings``, such as
    ``objective="flops"`` or ``max_drop=0.01``; of ``Approach``: strategy, methods, metric, jobs; of ``Watch``:
    on_trial, on_part, callbacks, progress. Layers that are frozen (``trainable=False``) stay so. Raises UserError.
    """
    how, approach, watch = with_changes(changes, settings or Settings(), Approach(), Watch())
    how = approach.settings(how)
    asked = {
        "strategy": approach.strategy,
        "methods": {kind: list(given) for kind, given in approach.by_kind.items()},
        "model": _anywhere(model) if isinstance(model, str) else None,
        "data": _anywhere(data.name if isinstance(data, Data) else data if isinstance(data, str) else "arrays"),
        "out": None if out is None else str(Path(out).absolute()),
    }
    target = _target(out)
    _check(model, data, db, how.include, how.exclude)
    job = _job(model, data, db, name, approach, watch, {"request": asked})
    return compressed(job, approach, how, target, watch)


def resume(
    run: int,
    db: Database | str = "rankline.db",
    *,
    model: keras.Model | str | None = None,
    data: Data | str | Sequence[Any] | None = None,
    out: str | Path | None = None,
    max_trials: int | None = None,
    max_minutes: float | None = None,
    **changes: Any,
) -> Compression:
    """Goes on with a run that was stopped, from its last trial, as if it had not been.

    model, data, out: those of the run, by default as it was asked for where that was by name; max_trials, max_minutes:
    other limits than the run's; changes: metric, as in ``compress``, and fields of ``Watch``. Raises UserError where
    the run succeeded already, and as ``compress``.
    """
    database = open_database(db, create=False) if isinstance(db, str) else db
    found = stopped(database.engine, run, {"max_trials": max_trials, "max_minutes": max_minutes})
    model = found.model if model is None else model
    data = _recorded_data(found) if data is None else data
    approach, watch = with_changes(changes, Approach(), Watch())
    target = _target(out or found.request.get("out"))
    job = _job(model, data, database, found.network, approach, watch, {})
    return compressed(job, approach, found.settings, target, watch, run)


def budget(
    model: keras.Model | str,
    data: Any,
    db: Database | str = "rankline.db",
    *,
    sweep: Mapping[str, Sequence[float]] | None = None,
    name: str | None = None,
    out: str | Path | None = None,
    settings: BudgetSettings | None = None,
    **changes: Any,
) -> Budgeted:
    """A trained model factorized under a budget, without training, and on record as a run of its network.

    data: as in ``allocate``; where it has labels, the accuracy is told, on the validation part of every trial, and on
    the test part of the saved and reloaded model. sweep: instead of a budget, the shares of one metric to keep,
    ``{"flops": [0.3, 0.5]}``, which share all work but the fit; name: of the network in the database, which is explored
    first by the methods that it lacks; out: the .keras file to write, of a sweep the folder; changes: keep_flops,
    keep_params, keep_memory as in ``allocate``, and fields of ``BudgetSettings`` and ``Watch``. Raises UserError.
    """
    keep, rest = _keeps(changes)
    how, watch = with_changes(rest, settings or BudgetSettings(), Watch())
    keeps = budgets_of(keep, sweep)
    target = None if out is None else Path(out)
    if target is not None:
        check_folder(target) if sweep else check_target(target)
    _check(model, data, db, how.include, how.exclude, may_lack_labels=True)
    trained = load_model(model) if isinstance(model, str) else model
    calibration = calibration_of(trained, data, how.samples, how.seed)
    request = {"model": model if isinstance(model, str) else None, "out": None if out is None else str(out)}
    job = Job(
        trained, calibration.data, _database(db), _network(name, model, trained), watch.on_trial, watch.callbacks,
        request={"request": request}, progress=watch.progress,
    )  # fmt: skip
    return run_budget(job, calibration, keeps, how, target, is_sweep=sweep is not None)


def allocate(
    model: keras.Model | str,
    data: Any,
    *,
    settings: BudgetSettings | None = None,
    progress: Progress = no_progress,
    **changes: Any,
) -> Allocation:
    """The choice for each layer, of all methods and ranks, that does the least damage under a budget.

    model: a Keras model or a MODEL text; data: calibration samples without labels (an array, or one for each input),
    or what ``rankline.compress`` takes, of whose training part some are drawn. changes: keep_flops, keep_params,
    keep_memory (bytes), two of them at most: a share above 0 and at most 1, or an int of at least 2, the number itself
    (1 keeps all: see ``CalibratedModel.limits``); and fields of ``BudgetSettings``. Raises UserError.
    """
    keep, rest = _keeps(changes)
    (how,) = with_changes(rest, settings or BudgetSettings())
    (keep,) = budgets_of(keep, None)
    trained = load_model(model) if isinstance(model, str) else model
    found = calibration_of(trained, data, how.samples, how.seed)
    calibrated = CalibratedModel(trained, found.samples, tuple(keep), how, progress)
    check_possible(calibrated, keep)
    return calibrated.allocate(keep, how.solver)


def refit(
    model: keras.Model | str,
    plan: Plan,
    data: Any,
    *,
    fit: str = "data",
    settings: FitSettings | None = None,
    progress: Progress = no_progress,
    **changes: Any,
) -> keras.Model:
    """The model factorized by a plan, its factors made in closed form as ``fit`` says, without labels or training.

    fit: ``data``, to the original's outputs on what the factorized network itself gives each layer; ``whitened``, to
    the covariance of the original's inputs; ``weights``. settings: the parts of the fit. changes: include, exclude,
    names or patterns of the layers that are fitted, with those among them that the plan leaves as they are (the plan's
    others are made from their weights); samples, seed: as in ``BudgetSettings``. Raises UserError.
    """
    (how,) = with_changes({**changes, "fit": fit}, BudgetSettings())
    trained = load_model(model) if isinstance(model, str) else model
    found = calibration_of(trained, data, how.samples, how.seed)
    calibrated = CalibratedModel(trained, found.samples, settings=how, progress=progress)
    return calibrated.fit(plan, how.fit, settings or FitSettings(seed=how.seed))


def _job(
    model: keras.Model | str,
    data: Data | str | Sequence[Any],
    db: Database | str,
    name: str | None,
    approach: Approach,
    watch: Watch,
    request: Mapping[str, Any],
) -> Job:
    """What a run is of, with everything loaded that was given by name."""
    trained = load_model(model) if isinstance(model, str) else model
    found = load(data) if isinstance(data, str) else data if isinstance(data, Data) else data_from(data)
    return Job(
        trained, fitting(found, trained), _database(db), _network(name, model, trained), watch.on_trial,
        watch.callbacks, approach.metric, request, watch.progress,
    )  # fmt: skip


def _check(
    model: keras.Model | str,
    data: Any,
    db: Database | str,
    include: Sequence[str],
    exclude: Sequence[str],
    may_lack_labels: bool = False,
) -> None:
    """What the command line tells before Keras is loaded: raises UserError before a model or data is."""
    if isinstance(model, str):
        check_patterns(check_model(model), include, exclude)
    if isinstance(data, str):
        check_data(data, may_lack_labels)
    if isinstance(db, str):
        check_database(db)


def _database(db: Database | str) -> Database:
    return open_database(db) if isinstance(db, str) else db


def _network(name: str | None, model: keras.Model | str, trained: keras.Model) -> str:
    return name or (network_name(model) if isinstance(model, str) else str(trained.name))


def _target(out: str | Path | None) -> Path | None:
    if not out:
        return None
    check_target(Path(out))
    return Path(out)


def _keeps(changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The budgets among keyword arguments, by metric, and the others."""
    keep = {name.removeprefix(KEEP): value for name, value in changes.items() if name.startswith(KEEP)}
    return keep, {name: value for name, value in changes.items() if not name.startswith(KEEP)}


def _recorded_data(found: Stopped) -> Data:
    """The data of a run that named it."""
    name, made = found.data, found.recorded["preparation"]
    scaling = Scaling(made["rescale"], tuple(made["mean"]), tuple(made["std"]))
    split = {name: made[name] for name in ("validation", "split_seed") if name in made}
    return load(name, scaling, **split)


def _anywhere(name: str) -> str:
    """A name that means the same in any folder."""
    return str(Path(name).absolute()) if Path(name).is_file() else name
