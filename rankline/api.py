"""The calls of ``import rankline``: they open what is given by name or file, and call the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from rankline.src.compress.data.scaling import Scaling
from rankline.src.compress.data.sets import Data, Named
from rankline.src.compress.data.sources import DIGITS, KNOWN, check_data
from rankline.src.compress.data.takes import saved_takes
from rankline.src.compress.deploy import runtimes
from rankline.src.compress.deploy.conversion import input_shapes
from rankline.src.compress.deploy.deployed import deploy as run_deploy
from rankline.src.compress.deploy.formats import runtime_of, target_of
from rankline.src.compress.deploy.judged import judged_in
from rankline.src.compress.deploy.measured_file import measure_file
from rankline.src.compress.deploy.settings import DeploySettings
from rankline.src.compress.fit.refit import FitSettings
from rankline.src.compress.fit.rounding import ROUNDINGS
from rankline.src.compress.model.destination import check_folder, check_target
from rankline.src.compress.runs.changes import with_changes
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.resume import Stopped, stopped
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.runs.watch import Watch
from rankline.src.compress.search.patterns import check_patterns
from rankline.src.compress.training.labelled import judged_for, labelled_for
from rankline.src.compress.training.settings import AS_COMPILED, Aim
from rankline.src.db.backends.engine import check_database
from rankline.src.db.database import Database, open_database
from rankline.src.db.records.measurements import Measurement
from rankline.src.dse.devices.device import Device
from rankline.src.dse.keras_model.source import check_model, load_model, network_name
from rankline.src.dse.metric import budget_metric
from rankline.src.dse.plan import Plan
from rankline.src.dse.precision import precision_named
from rankline.src.dse.progress import Progress, no_progress

KEEP = "keep_"
"""The prefix of arguments that are budgets of a metric."""


def compress(
    model: keras.Model | str,
    data: Data | Named | str | Sequence[Any] | Mapping[str, Any],
    db: Database | str = "rankline.db",
    *,
    name: str | None = None,
    out: str | Path | None = None,
    settings: Settings | None = None,
    device: str | Device | None = None,
    **changes: Any,
) -> Compression:
    """Compresses a trained model with the configurations in the database, after exploring the methods that it lacks.

    - ``model``: a Keras model or a MODEL text; one that is no classifier needs the loss that it was compiled with, or
      ``loss``
    - ``data``: a data name, ``Data``, the arrays (x_train, y_train, x_test, y_test), optionally with (x_validation,
      y_validation) in between, arrays by name, or ``tf.data`` sets (train, test) or (train, validation, test), which
      must fit into memory; of several inputs or outputs a list or a dict of arrays
    - ``db``: the database, or its path or URL
    - ``name``: of the network in the database
    - ``out``: the .keras file to write (None: the model stays in memory)
    - ``device``: whose latencies are predicted for every trial, by its name in the database or as it is;
      ``objective="latency"`` needs one (the only one of the database if none is named). Where it is this machine, the
      result is measured
    - ``settings``, ``changes``: ``Settings``, and fields of it, such as ``objective="flops"`` or ``max_drop=0.01``; of
      ``Approach``: strategy, methods, metric, jobs; of ``Aim``: loss, score; of ``Watch``: on_trial, on_part,
      callbacks, progress

    Layers that are frozen (``trainable=False``) stay frozen. Returns the compressed model with its plan, trials and
    files. Raises UserError.
    """
    how, approach, watch, aim = with_changes(changes, settings or Settings(), Approach(), Watch(), Aim())
    how = approach.settings(how)
    asked = {
        "strategy": approach.strategy,
        "methods": {kind: list(given) for kind, given in approach.by_kind.items()},
        "model": _anywhere(model) if isinstance(model, str) else None,
        "data": _anywhere(_name_of(data)),
        "out": None if out is None else str(Path(out).absolute()),
        **aim.names,
    }
    target = _target(out)
    _check(model, data, db, how.include, how.exclude)
    database = _database(db)
    used = _asked(database, device, (how.objective,))
    job = _job(model, data, database, name, (approach, watch, aim), {"request": asked}, used)
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
    """Resumes a stopped run from its last trial, as if it had not been stopped.

    - ``run``: its id
    - ``model``, ``data``, ``out``: those of the run; may be left out if the run was started with names
    - ``max_trials``, ``max_minutes``: new limits
    - ``changes``: metric, loss and score, as in ``compress``, and fields of ``Watch``

    Returns the same as ``compress``. Raises UserError if the run has succeeded already, and as ``compress`` does.
    """
    database = open_database(db, create=False) if isinstance(db, str) else db
    found = stopped(database.engine, run, {"max_trials": max_trials, "max_minutes": max_minutes})
    model = found.model if model is None else model
    given: Any = _recorded_data(found) if data is None else data
    asked = {name: found.request[name] for name in ("loss", "score") if name in found.request}
    approach, watch, aim = with_changes({**asked, **changes}, Approach(), Watch(), Aim())
    target = _target(out or found.request.get("out"))
    job = _job(model, given, database, found.network, (approach, watch, aim), {}, found.device)
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
    device: str | Device | None = None,
    **changes: Any,
) -> Budgeted:
    """Factorizes a trained model under a budget, without training, and records it as a run of its network.

    - ``model``: a Keras model or a MODEL text
    - ``data``: as in ``allocate``; with labels, the accuracy (or the score) is measured too, on the validation part for
      every trial and on the test part for the saved and reloaded model
    - ``db``: the database, or its path or URL; it is explored first with the methods that it lacks
    - ``sweep``: instead of a budget, several shares of one metric to keep, ``{"flops": [0.3, 0.5]}``; they share all
      work but the fit
    - ``name``: of the network in the database
    - ``out``: the .keras file to write, for a sweep the folder
    - ``device``: whose latencies are predicted, by its name in the database or as it is; a budget of latency needs one
      (the only one of the database if none is named), and is measured where it is this machine
    - ``settings``, ``changes``: keep_flops, keep_params, keep_memory, keep_bytes and keep_latency (picoseconds) as in
      ``allocate``, and fields of ``BudgetSettings`` (such as ``precision="int8"``), ``Watch`` and ``Aim`` (loss, score)

    Returns the run with a point for each budget. Raises UserError.
    """
    keep, rest = _keeps(changes)
    how, watch, aim = with_changes(rest, settings or BudgetSettings(), Watch(), Aim())
    keeps = budgets_of(keep, sweep)
    target = None if out is None else Path(out)
    if target is not None:
        check_folder(target) if sweep else check_target(target)
    _check(model, data, db, how.include, how.exclude, may_lack_labels=True)
    trained = load_model(model) if isinstance(model, str) else model
    source = model if isinstance(model, str) else None
    calibration = calibration_of(trained, data, how.samples, how.seed, source, aim)
    request = {"model": model if isinstance(model, str) else None, "out": None if out is None else str(out)}
    database = _database(db)
    used = _device(database, device, tuple(keeps[0]))
    job = Job(
        trained, calibration.data, database, _network(name, model, trained), watch.on_trial, watch.callbacks,
        request={"request": request}, progress=watch.progress, task=calibration.task,
    )  # fmt: skip
    return run_budget(job, calibration, keeps, how, target, is_sweep=sweep is not None, device=used)


def allocate(
    model: keras.Model | str,
    data: Any,
    *,
    settings: BudgetSettings | None = None,
    device: Device | None = None,
    progress: Progress = no_progress,
    **changes: Any,
) -> Allocation:
    """The choice of method and ranks for each layer that does the least damage under a budget.

    - ``model``: a Keras model or a MODEL text
    - ``data``: calibration samples without labels (an array, or one for each input), or what ``rankline.compress``
      takes; the samples are then drawn from the training part
    - ``settings``, ``changes``: fields of ``BudgetSettings``, and at most two of keep_flops, keep_params, keep_memory,
      keep_bytes (of the file, as predicted) and keep_latency (picoseconds): a share above 0 and at most 1, or the
      number itself, an int of at least 2 (1 keeps all: see ``CalibratedModel.limits``)
    - ``device``: a budget of latency needs one
    - ``progress``: called as the work advances

    Raises UserError.
    """
    keep, rest = _keeps(changes)
    (how,) = with_changes(rest, settings or BudgetSettings())
    (keep,) = budgets_of(keep, None)
    trained = load_model(model) if isinstance(model, str) else model
    found = calibration_of(trained, data, how.samples, how.seed)
    timed = None if device is None else device.model
    calibrated = CalibratedModel(trained, found.samples, tuple(keep), how, progress, timed)
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
    """The model factorized by a plan, with factors in closed form, without labels or training.

    - ``model``, ``data``: as in ``allocate``
    - ``plan``: method and ranks by layer
    - ``fit``: ``data`` fits to the original's outputs, from the inputs that layers get in the factorized network;
      ``whitened`` uses the covariance of the original's inputs; ``weights`` uses the weights alone
    - ``settings``: the parts of the fit
    - ``changes``: include, exclude, names or patterns of the layers to fit, in the plan or not (others in the plan get
      factors of their weights); samples, seed: as in ``BudgetSettings``
    - ``progress``: called as the work advances

    Raises UserError.
    """
    (how,) = with_changes({**changes, "fit": fit}, BudgetSettings())
    trained = load_model(model) if isinstance(model, str) else model
    found = calibration_of(trained, data, how.samples, how.seed)
    calibrated = CalibratedModel(trained, found.samples, settings=how, progress=progress)
    return calibrated.fit(plan, how.fit, settings or FitSettings(seed=how.seed))


def deploy(
    model: keras.Model | str,
    path: str | Path,
    *,
    calibrate: Any = None,
    data: Any = None,
    db: Database | str | None = "rankline.db",
    settings: DeploySettings | None = None,
    progress: Progress = no_progress,
    **changes: Any,
) -> Measurement:
    """Writes a trained model as a file for another runtime, and measures what the file is worth there.

    - ``model``: a Keras model or a MODEL text
    - ``path``: the .tflite or .onnx file to write
    - ``calibrate``: data for the ranges of int8, without labels (an array, or one for each input), or data as
      ``rankline.compress`` takes it, of whose training part samples are drawn
    - ``data``: labelled data, of whose test part the file and the Keras model are scored. Each of ``calibrate`` and
      ``data`` stands in for the other where that is missing
    - ``db``: where the measurement is recorded, a database, its path or URL; None: nowhere
    - ``settings``, ``changes``: ``DeploySettings``, and fields of it, such as ``precision="int8"`` or
      ``test_samples=1000``; of ``Aim`` (loss, score): what a model that is no classifier is judged by

    Returns the measurement. Raises UserError, and then the file is as it was before.
    """
    how, aim = with_changes(changes, settings or DeploySettings(), Aim())
    target, precision = Path(path), precision_named(how.precision)
    runtime = runtimes.get(target_of(target, how.to))
    check_target(target, runtime.suffix)
    runtime.check(precision.name)
    _check(model, data if data is not None else calibrate, db, (), (), may_lack_labels=data is None)
    trained = load_model(model) if isinstance(model, str) else model
    source = model if isinstance(model, str) else None
    input_shapes(trained, how.batch)
    labelled = None if data is None else judged_for(trained, data, source, aim)
    judged = None if labelled is None else judged_in(*labelled)
    calibration = None
    if calibrate is not None:
        used = aim if data is None else AS_COMPILED
        calibration = calibration_of(trained, calibrate, how.samples, how.seed, source, used)
        if judged is None and calibration.data is not None:
            judged = judged_in(calibration.data, calibration.task)
    elif labelled is not None and (precision.needs_samples or (how.fit and precision.name in ROUNDINGS)):
        calibration = calibration_of(trained, labelled[0], how.samples, how.seed, source, aim)
    judged = None if judged is None else judged.some(how.test_samples)
    found = run_deploy(trained, target, how, calibration, judged, progress)
    if db is not None:
        _database(db).record_measurement(found)
    return found


def measure(
    file: str | Path,
    data: Any = None,
    *,
    threads: int | None = None,
    test_samples: int | None = None,
    db: Database | str | None = "rankline.db",
    progress: Progress = no_progress,
    **changes: Any,
) -> Measurement:
    """Measures a file on this machine: its bytes, the time of a call, and its score.

    - ``file``: a .keras, .tflite or .onnx file, whoever made it. One for a batch of any size is run with one sample
    - ``data``: data as ``rankline.compress`` takes it, of whose test part it is scored, on ``test_samples`` at most;
      None: it isn't scored
    - ``threads``: that it computes with; None: one, or for Keras those that this process computes with already
    - ``db``: where the measurement is recorded, a database, its path or URL; None: nowhere. What it knows of the file's
      precision and model is told
    - ``changes``: fields of ``Aim`` (loss, score): what a file is judged by that is no classifier

    Returns the measurement. Raises UserError.
    """
    path = Path(file)
    (aim,) = with_changes(changes, Aim())
    runtime_of(path)
    if isinstance(data, str | Named):
        check_data(_name_of(data), takes=saved_takes(str(path)))
    database = None if db is None else _database(db)
    found = measure_file(path, data, threads, aim, test_samples, progress)
    if database is not None:
        for known in database.measurements(found.digest)[-1:]:
            found = replace(found, precision=found.precision or known.precision, model=found.model or known.model)
        database.record_measurement(found)
    return found


def _job(
    model: keras.Model | str,
    data: Any,
    db: Database | str,
    name: str | None,
    asked: tuple[Approach, Watch, Aim],
    request: Mapping[str, Any],
    device: Device | None,
) -> Job:
    """The job of a run, with everything loaded that was given by name."""
    approach, watch, aim = asked
    trained = load_model(model) if isinstance(model, str) else model
    found, task = labelled_for(trained, data, model if isinstance(model, str) else None, aim)
    return Job(
        trained, found, _database(db), _network(name, model, trained), watch.on_trial, watch.callbacks, approach.metric,
        request, watch.progress, task, device,
    )  # fmt: skip


def _check(
    model: keras.Model | str,
    data: Any,
    db: Database | str | None,
    include: Sequence[str],
    exclude: Sequence[str],
    may_lack_labels: bool = False,
) -> None:
    """What the command line tells before Keras is loaded: raises UserError before a model or data is."""
    if isinstance(model, str):
        check_patterns(check_model(model), include, exclude)
    if isinstance(data, str | Named):
        check_data(_name_of(data), may_lack_labels, saved_takes(model) if isinstance(model, str) else None)
    if isinstance(db, str):
        check_database(db)


def _database(db: Database | str) -> Database:
    return open_database(db) if isinstance(db, str) else db


def _asked(database: Database, device: str | Device | None, metrics: Sequence[str]) -> Device | None:
    """The device that is named, or the only one of the database if one of the metrics needs it. Raises UserError."""
    if isinstance(device, Device):
        return device
    if device is not None or any(budget_metric(name).needs_device for name in metrics):
        return database.device(device)
    return None


def _device(database: Database, device: str | Device | None, metrics: Sequence[str]) -> Device | None:
    """The same; if none is asked for, the only one of the database all the same."""
    if (found := _asked(database, device, metrics)) is not None:
        return found
    known = database.devices()
    return known[0] if len(known) == 1 else None


def _network(name: str | None, model: keras.Model | str, trained: keras.Model) -> str:
    return name or (network_name(model) if isinstance(model, str) else str(trained.name))


def _target(out: str | Path | None) -> Path | None:
    if not out:
        return None
    check_target(Path(out))
    return Path(out)


def _keeps(changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The budgets among the keyword arguments, by metric, and the other arguments."""
    keep = {name.removeprefix(KEEP): value for name, value in changes.items() if name.startswith(KEEP)}
    return keep, {name: value for name, value in changes.items() if not name.startswith(KEEP)}


def _recorded_data(found: Stopped) -> Named:
    """The data of a run that named it."""
    name, made = found.data, found.recorded["preparation"]
    scaling = Scaling(made["rescale"], tuple(made["mean"]), tuple(made["std"]))
    split = {name: made[name] for name in ("validation", "split_seed") if name in made}
    return Named(name, scaling, **split)


def _name_of(data: Any) -> str:
    if isinstance(data, Data | Named):
        return data.name if isinstance(data, Data) else data.source
    return data if isinstance(data, str) else "arrays"


def _anywhere(name: str) -> str:
    """The name, as an absolute path if it is a file or a folder."""
    return str(Path(name).absolute()) if Path(name).exists() and name not in (DIGITS, *KNOWN) else name
