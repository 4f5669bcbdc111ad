"""The main job in one call: explore, search, deliver."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from rankline.src.compress.baselines.strategies import pruning, vbmf
from rankline.src.compress.data.classifier import fitting
from rankline.src.compress.data.sets import Data, Scaling, data_from, load
from rankline.src.compress.model.files import check_saving, check_target
from rankline.src.compress.runs.checkpoints import checkpoints_of
from rankline.src.compress.runs.deliver import Delivered, deliver
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.search.hybrid import CONV_METHODS, DENSE_METHODS, hybrid
from rankline.src.compress.search.search import Run, search
from rankline.src.compress.search.side_by_side import OnPart
from rankline.src.compress.training.fine_tuning import ScoreFunction
from rankline.src.db.database import Database, open_database
from rankline.src.db.records.runs import SUCCESS, TrialRecord, run_settings
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.keras_model.source import load_model, network_name
from rankline.src.dse.plan import Plan
from rankline.src.dse.progress import Progress, no_progress


@dataclass(frozen=True)
class Compression:
    """A finished compression: the original and the data, the compressed model with its plan and trials, its file."""

    original: keras.Model
    data: Data
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


Strategy = Callable[..., Run]

STRATEGIES: dict[str, Strategy] = {"similarity": search, "hybrid": hybrid, "vbmf": vbmf, "pruning": pruning}
"""How a model can be made smaller: the search with one pair of methods, with all of them, and the two baselines."""


def compress(
    model: keras.Model | str,
    data: Data | str | Sequence[Any],
    db: Database | str = "rankline.db",
    *,
    strategy: str = "similarity",
    name: str | None = None,
    methods: Mapping[str, str | Sequence[str]] | None = None,
    out: str | Path | None = None,
    settings: Settings | None = None,
    metric: ScoreFunction | None = None,
    on_trial: Callable[[TrialRecord], None] = lambda trial: None,
    on_part: OnPart = lambda settings, number, count: None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    jobs: int = 1,
    progress: Progress = no_progress,
    **changes: Any,
) -> Compression:
    """Compresses a trained model from the database, which is explored first by the methods that it lacks.

    model: a Keras classifier or a MODEL text; data: a data name, ``Data``, the arrays
    (x_train, y_train, x_test, y_test), with (x_validation, y_validation) in between where they are apart, or
    ``tf.data`` sets (train, test) or (train, validation, test), which must fit into memory (see ``data_from``);
    strategy: one of STRATEGIES; methods: ``{"conv": "tucker", "dense": "svd"}``, for the hybrid several of each;
    out: the .keras file to write (none: the model stays in memory); metric: a measure of your own, of labels and
    outputs, the higher the better, in the place of accuracy; on_trial: is told every trial; on_part, jobs: of the
    hybrid's searches (see ``compress.side_by_side``); progress: is told how far the exploring and each trial have come;
    changes: fields of ``Settings``, such as ``objective="flops"`` or ``max_drop=0.01``.
    Layers that are frozen (``trainable=False``) stay so. Raises UserError.
    """
    if strategy not in STRATEGIES:
        raise one_of("strategy", strategy, list(STRATEGIES))
    chosen = {kind: (given,) if isinstance(given, str) else tuple(given) for kind, given in (methods or {}).items()}
    for kind in chosen:
        if kind not in ("conv", "dense"):
            raise one_of("kind of layer in methods", kind, ["conv", "dense"])
        if not chosen[kind] or (strategy != "hybrid" and len(chosen[kind]) > 1):
            given = ", ".join(chosen[kind]) or "none"
            raise UserError(f"strategy {strategy} takes one method for {kind} layers, hybrid one or more; got {given}")
        for method in chosen[kind]:
            Settings(**{f"{kind}_method": method})  # type: ignore[arg-type]
    settings = replace(settings or Settings(), **changes)
    if strategy == "hybrid":
        pairs: dict[str, Any] = {f"{kind}_methods": given for kind, given in chosen.items()}
        needed = (*pairs.get("conv_methods", CONV_METHODS), *pairs.get("dense_methods", DENSE_METHODS))
    else:
        pairs = {}
        settings = replace(settings, **{f"{kind}_method": given[0] for kind, given in chosen.items()})  # type: ignore[arg-type]
        needed = (settings.conv_method, settings.dense_method)
    asked = {
        "strategy": strategy,
        "methods": {kind: list(given) for kind, given in chosen.items()},
        "model": _anywhere(model) if isinstance(model, str) else None,
        "data": _anywhere(data.name if isinstance(data, Data) else data if isinstance(data, str) else "arrays"),
        "out": None if out is None else str(Path(out).absolute()),
    }
    if strategy == "hybrid":
        pairs |= {"on_part": on_part, "jobs": jobs}
    elif jobs != 1:
        raise UserError(f"jobs is the number of a hybrid's searches side by side; strategy {strategy} makes one")
    told = {"metric": metric, "on_trial": on_trial, "callbacks": callbacks, "request": {"request": asked}}
    return _compressed(model, data, db, strategy, name, needed, out, settings, told, progress, **pairs)


def resume(
    run: int,
    db: Database | str = "rankline.db",
    *,
    model: keras.Model | str | None = None,
    data: Data | str | Sequence[Any] | None = None,
    out: str | Path | None = None,
    metric: ScoreFunction | None = None,
    on_trial: Callable[[TrialRecord], None] = lambda trial: None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    max_trials: int | None = None,
    max_minutes: float | None = None,
    progress: Progress = no_progress,
) -> Compression:
    """Goes on with a run that was stopped, from its last trial, as if it had not been.

    model, data, out, metric: those of the run, by default as it was asked for where that was by name; max_trials,
    max_minutes: other limits than the run's; progress: as in ``compress``. Raises UserError where the run succeeded
    already, and as ``compress``.
    """
    database = open_database(db, create=False) if isinstance(db, str) else db
    network, recorded, status = run_settings(database.engine, run)
    request = recorded.get("request") or {}
    if status == SUCCESS:
        raise UserError(f"run {run} has succeeded; there is nothing to go on with")
    if request.get("strategy") != "similarity":
        raise UserError(f"run {run} is no search that can go on; ask for it again, what is on record is taken over")
    model = model if model is not None else request.get("model")
    if model is None:
        raise UserError(f"run {run} was made with a model from Python; give it again")
    if data is None:
        data = _recorded_data(run, recorded)
    settings = Settings.from_record(recorded)
    limits = {"max_trials": max_trials, "max_minutes": max_minutes}
    settings = replace(settings, **{name: value for name, value in limits.items() if value is not None})  # type: ignore[arg-type]
    told = {"metric": metric, "on_trial": on_trial, "callbacks": callbacks}
    needed, out = (settings.conv_method, settings.dense_method), out or request.get("out")
    return _compressed(model, data, database, "similarity", network, needed, out, settings, told, progress, resume=run)


def _compressed(
    model: keras.Model | str,
    data: Data | str | Sequence[Any],
    db: Database | str,
    strategy: str,
    name: str | None,
    needed: Sequence[str],
    out: str | Path | None,
    settings: Settings,
    told: Mapping[str, Any],
    progress: Progress,
    **more: Any,
) -> Compression:
    """told: the further fields of the job; more: what else the strategy takes."""
    if out:
        check_target(Path(out))
    trained = load_model(model) if isinstance(model, str) else model
    if isinstance(data, str):
        data = load(data)
    elif not isinstance(data, Data):
        data = data_from(data)
    data = fitting(data, trained)
    check_saving(trained, [data.x_test], Path(out).parent if out else None)
    database = open_database(db) if isinstance(db, str) else db
    network = name or (network_name(model) if isinstance(model, str) else trained.name)
    # SVD is for the convolutions that the method for convolutions doesn't apply to.
    database.explore_missing(trained, network, (*needed, "svd"), progress)
    run = STRATEGIES[strategy](Job(trained, data, database, network, progress=progress, **told), settings, **more)
    progress("writing", 0, 0)
    with nullcontext(str(Path(out).parent)) if out else tempfile.TemporaryDirectory() as folder:
        target = Path(out) if out else Path(folder) / "model.keras"
        delivered = deliver(run, trained, data, database, network, target)
    if run.status == SUCCESS:
        for done in (run.id, *run.parts):
            if kept := checkpoints_of(database.location, done):
                kept.remove()
    return Compression(trained, data, run, delivered)


def _recorded_data(run: int, recorded: Mapping[str, Any]) -> Data:
    """The data of a run that named it."""
    made = recorded["preparation"]
    if recorded["data"] == "arrays" or "rescale" not in made:
        raise UserError(f"run {run} was made with arrays; give the same data again")
    scaling = Scaling(made["rescale"], tuple(made["mean"]), tuple(made["std"]))
    split = {name: made[name] for name in ("validation", "split_seed") if name in made}
    return load(recorded["request"].get("data", recorded["data"]), scaling, **split)


def _anywhere(name: str) -> str:
    """A name that means the same in any folder."""
    return str(Path(name).absolute()) if Path(name).is_file() else name
