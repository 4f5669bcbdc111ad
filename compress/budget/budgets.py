"""A network under a budget without training in one call, explored, allocated, fitted and delivered; and its steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import keras

from rankline.src.compress.budget.allocate import Allocation
from rankline.src.compress.budget.calibrated_model import FITS, CalibratedModel, Keep
from rankline.src.compress.budget.card import budget_card
from rankline.src.compress.budget.handing_over import check_folder
from rankline.src.compress.budget.limits import asked, budgets_of, check_possible, recorded
from rankline.src.compress.budget.run import BudgetRun, Point, labelled_test, told_once
from rankline.src.compress.data.calibration import Calibration, calibration_of
from rankline.src.compress.data.classifier import frozen_layers
from rankline.src.compress.fit.refit import FitSettings, check_memory
from rankline.src.compress.model.files import check_saving, check_target
from rankline.src.compress.runs.facts import VERSIONS
from rankline.src.compress.training.fine_tuning import FineTuning, Score, evaluate
from rankline.src.db.database import Database, open_database
from rankline.src.db.export import write_text
from rankline.src.db.records.runs import SUCCESS, TrialRecord, finish_run, recorded_end, start_run
from rankline.src.dse.cost import Cost
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.keras_model.source import load_model, network_name
from rankline.src.dse.plan import Plan
from rankline.src.dse.progress import Progress, no_progress


@dataclass(frozen=True, eq=False)
class Budgeted:
    """A finished run under one budget, or a sweep over some: a point for each.

    originals: the cost of each layer that might change; total: of the whole model as it was; test: the original's
    score on the test part; seconds: of ``statistics``, ``allocation`` and ``fit``; skipped: why layers were left out.
    """

    run: int
    network: str
    original: keras.Model
    calibration: Calibration
    total: Cost
    originals: Mapping[str, Cost]
    before: TrialRecord
    test: Score | None
    points: tuple[Point, ...]
    seconds: Mapping[str, float]
    settings: Mapping[str, Any] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def model(self) -> keras.Model:
        """The model under the budget; of a sweep the one under the largest."""
        return self.points[-1].model

    @property
    def plan(self) -> Plan:
        """Its plan."""
        return self.points[-1].plan


def allocate(
    model: keras.Model | str,
    data: Any,
    *,
    keep_flops: Keep | None = None,
    keep_params: Keep | None = None,
    keep_memory: Keep | None = None,
    methods: Sequence[str] | None = None,
    value: str = "damage",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    samples: int = 1024,
    seed: int = 0,
    solver: str = "exact",
    progress: Progress = no_progress,
) -> Allocation:
    """The choice for each layer, of all methods and ranks, that does the least damage under a budget.

    model: a Keras model or a MODEL text; data: calibration samples without labels (an array, or one for each input),
    or what ``rankline.compress`` takes, of whose training part ``samples`` are drawn by ``seed``. keep_flops,
    keep_params, keep_memory (bytes), two of them at most: a share above 0 and at most 1, or an int of at least 2, the
    number itself (1 keeps all: see ``CalibratedModel.limits``); methods: those to choose from (default: all); value:
    what an error of a layer is worth, ``damage``, ``energy`` or ``uniform``; include, exclude: names or patterns of the
    layers that may change; solver: ``exact`` or ``price``. Raises UserError.
    """
    keep = asked(keep_flops, keep_params, keep_memory)
    trained = load_model(model) if isinstance(model, str) else model
    found = calibration_of(trained, data, samples, seed)
    budget = CalibratedModel(trained, found.samples, methods, value, tuple(keep), include, exclude, seed, progress)
    check_possible(budget, keep)
    return budget.allocate(keep, solver)


def refit(
    model: keras.Model | str,
    plan: Plan,
    data: Any,
    *,
    fit: str = "data",
    settings: FitSettings | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    samples: int = 1024,
    seed: int = 0,
    progress: Progress = no_progress,
) -> keras.Model:
    """The model factorized by a plan, its factors made in closed form as ``fit`` says, without labels or training.

    fit: ``data``, to the original's outputs on what the factorized network itself gives each layer; ``whitened``, to
    the covariance of the original's inputs; ``weights``. settings: the parts of the fit (``rankline.FitSettings``).
    include, exclude: names or patterns of the layers that are fitted, with those among them that the plan leaves as
    they are; the plan's others are made from their weights. Others as in ``allocate``. Raises UserError.
    """
    trained = load_model(model) if isinstance(model, str) else model
    found = calibration_of(trained, data, samples, seed)
    engine = CalibratedModel(trained, found.samples, include=include, exclude=exclude, seed=seed, progress=progress)
    return engine.fit(plan, fit, settings or FitSettings(seed=seed))


def budget(
    model: keras.Model | str,
    data: Any,
    db: Database | str = "rankline.db",
    *,
    keep_flops: Keep | None = None,
    keep_params: Keep | None = None,
    keep_memory: Keep | None = None,
    sweep: Mapping[str, Sequence[float]] | None = None,
    out: str | Path | None = None,
    methods: Sequence[str] | None = None,
    value: str = "damage",
    fit: str = "data",
    fit_settings: FitSettings | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    samples: int = 1024,
    seed: int = 0,
    solver: str = "exact",
    fine_tuning: FineTuning | None = None,
    name: str | None = None,
    on_trial: Callable[[TrialRecord], None] = lambda trial: None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    progress: Progress = no_progress,
) -> Budgeted:
    """A trained model factorized under a budget, without training, and on record as a run of its network.

    data: as in ``allocate``; where it has labels, the accuracy is told, on the validation part of every trial, and on
    the test part of the saved and reloaded model. sweep: instead of a budget, the shares of one metric to keep,
    ``{"flops": [0.3, 0.5]}``, which share all work but the fit; fit_settings: the ``settings`` of ``refit``;
    out: the .keras file to write, of a sweep the folder; fine_tuning: one-shot, of the result, which needs labels;
    name: of the network in the database, which is explored first by the methods that it lacks; on_trial: is told every
    trial. Others as in ``allocate`` and ``refit``. Raises UserError.
    """
    keeps = budgets_of(keep_flops, keep_params, keep_memory, sweep)
    for what, given, possible in (("fit", fit, list(FITS)), ("solver", solver, ["exact", "price"])):
        if given not in possible:
            raise one_of(what, given, possible)
    target = None if out is None else Path(out)
    if target is not None:
        check_folder(target) if sweep else check_target(target)
    trained = load_model(model) if isinstance(model, str) else model
    calibration = calibration_of(trained, data, samples, seed)
    if fine_tuning is not None and calibration.data is None:
        raise UserError(f"fine-tuning needs labels, and '{calibration.name}' has none; leave it out")
    metrics = tuple(keeps[0])
    engine = CalibratedModel(trained, calibration.samples, methods, value, metrics, include, exclude, seed, progress)
    for one in keeps:
        check_possible(engine, one)
    check_saving(trained, calibration.samples)
    if fit == "data":
        check_memory(engine.forward.calls, len(calibration.samples[0]))
    database = open_database(db) if isinstance(db, str) else db
    network = name or (network_name(model) if isinstance(model, str) else trained.name)
    database.explore_missing(trained, network, engine.methods, progress)
    started = perf_counter()
    with told_once():
        _ = engine.options
    seconds = {"statistics": perf_counter() - started}
    started = perf_counter()
    allocations = engine.sweep(keeps, solver)
    seconds["allocation"] = perf_counter() - started
    how = fit_settings or FitSettings(seed=seed)
    plain = [recorded(keep) for keep in keeps]
    settings = {
        "strategy": "budget",
        "keep": {metric: [keep[metric] for keep in plain] if sweep else plain[0][metric] for metric in metrics},
        "is_sweep": bool(sweep),
        "methods": list(engine.methods),
        "value": value,
        "fit": fit,
        "fit_settings": asdict(how),
        "solver": solver,
        "samples": len(calibration.samples[0]),
        "include": list(include),
        "exclude": list(exclude),
        "skipped": engine.skipped,
        "seed": seed,
        "fine_tuning": None if fine_tuning is None else asdict(fine_tuning),
        "data": calibration.name,
        "preparation": dict(calibration.preparation),
        "frozen": frozen_layers(trained),
        "versions": {package: version(package) for package in VERSIONS},
        "request": {"model": model if isinstance(model, str) else None, "out": None if out is None else str(out)},
        "damages": _damages(allocations, fine_tuning),
    }
    run = start_run(database.engine, database.network_id(network), settings, seed)
    with recorded_end(database.engine, run):
        made = BudgetRun(
            database, run, engine, calibration, len(keeps), fit, how, fine_tuning, on_trial, callbacks, progress
        )
        before = made.original()
        points = []
        for number, (keep, allocation) in enumerate(zip(plain, allocations, strict=True), start=1):
            path = target if not sweep or target is None else target / f"{metrics[0]}-{keep[metrics[0]]:g}.keras"
            points.append(made.point(number, keep, allocation, path, is_chosen=not sweep))
        seconds["fit"] = sum(point.fit_seconds for point in points)
        test = None if calibration.data is None else evaluate(trained, *labelled_test(calibration))
        originals = {path: some[0].cost for path, some in engine.options.items()}
        done = Budgeted(
            run, network, trained, calibration, engine.total, originals, before, test, tuple(points), seconds, settings,
            engine.skipped,
        )  # fmt: skip
        for point in points:
            if point.file is not None:
                write_text(point.file.with_suffix(".md"), budget_card(done, point))
        written = None if sweep else points[-1].test
        finish_run(
            database.engine,
            run,
            SUCCESS,
            None if written is None else written.accuracy,
            None if written is None else written.loss,
            None if test is None else test.accuracy,
        )
    return done


def _damages(allocations: Sequence[Allocation], fine_tuning: FineTuning | None) -> dict[str, dict[str, float]]:
    """The predicted damage of each layer, by the trials' numbers."""
    each = 1 if fine_tuning is None else 2
    return {
        str(1 + each * number + extra): {path: float(option.damage) for path, option in one.options.items()}
        for number, one in enumerate(allocations)
        for extra in range(each)
    }
