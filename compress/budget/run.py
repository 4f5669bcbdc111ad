"""A run under budgets: prices options, allocates, fits to data, judges, records and delivers, without training."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import keras

from rankline.src.compress.budget.allocate import Allocation
from rankline.src.compress.budget.calibrated_model import CalibratedModel, Keep, by_reason
from rankline.src.compress.budget.limits import asked_text, check_possible, recorded
from rankline.src.compress.budget.on_device import kept_within, predicted
from rankline.src.compress.budget.on_disk import OnDisk
from rankline.src.compress.budget.settings import RUNTIMES, BudgetSettings
from rankline.src.compress.data.arrays import count_of
from rankline.src.compress.data.calibration import Calibration
from rankline.src.compress.data.classifier import frozen_layers
from rankline.src.compress.deploy import runtimes
from rankline.src.compress.deploy.deployed import deploy
from rankline.src.compress.deploy.judged import judged_in
from rankline.src.compress.deploy.settings import DeploySettings
from rankline.src.compress.fit.covariance import CalibrationWarning
from rankline.src.compress.fit.refit import FitSettings, check_memory
from rankline.src.compress.fit.rounding import ROUNDINGS
from rankline.src.compress.model.cost import cost_of
from rankline.src.compress.model.files import check_saving
from rankline.src.compress.model.growth import growths
from rankline.src.compress.model.similarity import Reference
from rankline.src.compress.runs.card import Card
from rankline.src.compress.runs.deliver import Delivered, Delivery
from rankline.src.compress.runs.facts import score_facts, versions
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.latency import PlanLatency, device_facts
from rankline.src.compress.runs.recorder import Clock, Recorder, recording
from rankline.src.compress.training.fine_tuning import Score
from rankline.src.db.records.measurements import DEPLOYED, Measurement
from rankline.src.db.records.runs import CHOSEN, SUCCESS, TRIED, LayerRecord, TrialRecord
from rankline.src.dse.cost import Cost
from rankline.src.dse.devices.device import Device
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.source import load_model
from rankline.src.dse.metric import BYTES, budget_metric
from rankline.src.dse.plan import Plan
from rankline.src.dse.precision import F32

GROWTH = "growth"
"""What of a trial's ``made_by`` is the growth of CP's terms, by layer."""

SIMILARITY_SAMPLES = 256
"""Calibration samples on which feature maps are compared."""


@dataclass(frozen=True, eq=False)
class Point:
    """The result under one budget: the allocation, the model, and its last recorded trial.

    - ``keep``: the budgets as given
    - ``held``: the model if it is kept in memory, None if it is in its file only
    - ``delivered``: its files and scores
    - ``fit_seconds``: the time of the closed-form fit alone
    - ``latency``: what it takes on the run's device, if there is one
    - ``measured``: the file for its runtime beside the model's, if one was asked for
    """

    keep: Mapping[str, float | int]
    allocation: Allocation
    held: keras.Model | None
    trial: TrialRecord
    delivered: Delivered
    fit_seconds: float
    latency: PlanLatency | None = None
    measured: Measurement | None = None

    @property
    def model(self) -> keras.Model:
        """The model; a model of a sweep that was written is loaded from its file each time."""
        return load_model(str(self.file)) if self.held is None else self.held

    @property
    def plan(self) -> Plan:
        """Each factorized layer's method and ranks."""
        return self.allocation.plan

    @property
    def file(self) -> Path | None:
        """The model's file; None if it is in memory only."""
        return self.delivered.model

    @property
    def test(self) -> Score | None:
        """The score of the saved and reloaded model on the test part, if there is one."""
        return self.delivered.test


@dataclass(frozen=True, eq=False)
class Budgeted:
    """A finished run under one budget, or a sweep over several, with a point for each.

    - ``before``: the trial of the original
    - ``total``: the cost of the whole original model
    - ``originals``: the original cost of each layer that might change
    - ``test``: the original's score on the test part
    - ``seconds``: the time of ``statistics``, ``allocation`` and ``fit``
    - ``skipped``: why layers were left out
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
        """The model under the budget; in a sweep, under the largest."""
        return self.points[-1].model

    @property
    def plan(self) -> Plan:
        """The plan of that model."""
        return self.points[-1].plan


def run_budget(
    job: Job,
    calibration: Calibration,
    keeps: Sequence[Mapping[str, Keep]],
    settings: BudgetSettings,
    out: Path | None,
    is_sweep: bool,
    device: Device | None = None,
) -> Budgeted:
    """The job's model under each of several budgets of the same metrics, the smallest first; they share all work but
    the fit.

    out: the .keras file to write, for a sweep the folder; None keeps the models in memory; device: whose latencies are
    predicted, which a budget of latency needs. The network is first explored with the methods that the database lacks.
    Raises UserError, if possible before the work.
    """
    if settings.fine_tuning is not None and calibration.data is None:
        raise UserError(f"fine-tuning needs labels, and '{calibration.name}' has none; leave it out")
    metrics = tuple(keeps[0])
    timed = device if any(budget_metric(name).needs_device for name in metrics) else None
    settings = at_one_precision(settings, timed)
    writes = _writes_file(settings, metrics)
    if writes and out is None:
        raise UserError("a precision is that of a file; tell where to write it (--out, in Python out=)")
    if settings.runtime is not None and not writes and timed is None:
        raise UserError("a runtime is that of a file; give its precision too (--precision f32, or --keep-bytes 0.5)")
    engine = CalibratedModel(
        job.model, calibration.samples, metrics, settings, job.progress, None if timed is None else timed.model
    )
    for one in keeps:
        check_possible(engine, one)
    check_saving(job.model, calibration.samples)
    on_disk = OnDisk(engine)
    if writes:
        on_disk.check()
    if settings.fit == "data" or (writes and engine.precision.name in ROUNDINGS):
        check_memory(engine.forward, len(calibration.samples[0]))
    job.database.explore_missing(job.model, job.network, engine.methods, job.progress)
    started = perf_counter()
    with each_warning_once():
        _ = engine.options
    seconds = {"statistics": perf_counter() - started}
    started = perf_counter()
    allocations, latencies = _allocated(engine, keeps, settings.solver, device, timed is not None, on_disk)
    seconds["allocation"] = perf_counter() - started
    plain = [recorded(keep) for keep in keeps]
    facts = {
        **_facts(job, engine, calibration),
        "keep": {name: [keep[name] for keep in plain] if is_sweep else plain[0][name] for name in metrics},
        "is_sweep": is_sweep,
        "damages": _damages(allocations, settings),
        **device_facts(device),
    }
    with recording(job, facts, settings.seed) as recorder:
        made = _Points(recorder, engine, calibration, len(keeps), writes)
        before = recorder.original()
        delivery = Delivery(recorder, calibration.samples)
        points = []
        for number, (keep, allocation, latency) in enumerate(zip(plain, allocations, latencies, strict=True), start=1):
            path = out if not is_sweep or out is None else out / f"{metrics[0]}-{keep[metrics[0]]:g}.keras"
            points.append(made.point(number, keep, allocation, latency, delivery, path, is_chosen=not is_sweep))
        seconds["fit"] = sum(point.fit_seconds for point in points)
        delivery.close(SUCCESS, None if is_sweep else points[-1].delivered)
    originals = {path: some[0].cost for path, some in engine.options.items()}
    total = replace(engine.total, stored=on_disk.original) if BYTES.name in metrics else engine.total
    return Budgeted(
        recorder.run, job.network, job.model, calibration, total, originals, before, delivery.original_test,
        tuple(points), seconds, facts, engine.skipped,
    )  # fmt: skip


def _allocated(
    engine: CalibratedModel,
    keeps: Sequence[Mapping[str, Keep]],
    solver: str,
    device: Device | None,
    is_timed: bool,
    on_disk: OnDisk,
) -> tuple[list[Allocation], list[PlanLatency | None]]:
    """The choice for each budget, and what it takes on the device, if there is one."""
    found = engine.sweep(keeps, solver)
    limits: list[Mapping[str, int] | None] = [None] * len(found)
    if BYTES.name in keeps[0]:
        kept = [on_disk.kept(one, keep, solver) for one, keep in zip(found, keeps, strict=True)]
        found, limits = [one for one, _ in kept], [limit for _, limit in kept]
    if device is None:
        return found, [None] * len(found)
    if not is_timed:
        return found, [predicted(engine, one, device) for one in found]
    pairs = [
        kept_within(engine, one, keep, device, solver, limit, _allowed(on_disk, keep))
        for one, keep, limit in zip(found, keeps, limits, strict=True)
    ]
    return [one for one, _ in pairs], [told for _, told in pairs]


def _allowed(on_disk: OnDisk, keep: Mapping[str, Keep]) -> Callable[[Allocation], bool]:
    """Whether the file of a plan keeps a budget of bytes, if there is one."""
    return lambda one: BYTES.name not in keep or on_disk.size(one) <= on_disk.asked(keep)


def at_one_precision(settings: BudgetSettings, device: Device | None) -> BudgetSettings:
    """The settings with the precision and the runtime of the device whose latency is limited, where none is given.

    Raises UserError where another one is given.
    """
    if device is None:
        return settings
    for what, asked, has in (
        ("precision", settings.precision, device.precision), ("runtime", settings.runtime, device.runtime)
    ):  # fmt: skip
        if asked not in (None, has):
            raise UserError(
                f"device '{device.name}' was measured with {what} {has}, and {asked} is asked for; measure one with "
                f"it: rankline device add NAME --{what} {asked}"
            )
    runtime = device.runtime if device.runtime in RUNTIMES else settings.runtime
    return replace(
        settings, precision=settings.precision if device.precision == F32.name else device.precision, runtime=runtime
    )


def _writes_file(settings: BudgetSettings, metrics: Sequence[str]) -> bool:
    """Whether a file for a runtime is asked for beside the model's."""
    return settings.precision is not None or BYTES.name in metrics


class _Points:
    """Makes, judges, records and writes the models of a run one after the other."""

    def __init__(
        self,
        recorder: Recorder,
        engine: CalibratedModel,
        calibration: Calibration,
        count: int,
        writes_file: bool,
    ) -> None:
        self.recorder = recorder
        self.engine = engine
        self.calibration = calibration
        self.count = count
        self.writes_file = writes_file
        some = [one[:SIMILARITY_SAMPLES] for one in calibration.samples]
        self.reference = Reference(engine.model, engine.paths, some)

    def point(
        self,
        number: int,
        keep: Mapping[str, float | int],
        allocation: Allocation,
        latency: PlanLatency | None,
        delivery: Delivery,
        path: Path | None,
        is_chosen: bool,
    ) -> Point:
        """Makes, records and writes the model of an allocation, fine-tuned if the settings say so.

        number: of this model, from 1; is_chosen: whether it is the run's result; the models of a sweep are not, and
        are dropped from memory once they are written.
        """
        recorder, settings = self.recorder, self.engine.settings
        recorder.label = "" if self.count == 1 else f"model {number} of {self.count}: "
        clock = Clock()
        recorder.progress(f"fitting to {'data' if settings.fit == 'data' else 'weights'}", 0, 0)
        with no_calibration_warnings() if settings.value != "uniform" else each_warning_once():
            model = self.engine.fit(allocation.plan, settings.fit, settings.fit_settings, recorder.progress)
        clock.pause()
        fitted = clock.making or 0.0
        # Measured before fine-tuning, which changes feature maps on purpose.
        layers = self._layers(allocation, model)
        last = CHOSEN if is_chosen else TRIED
        made_by: dict[str, Any] = {f"keep_{name}": value for name, value in keep.items()}
        made_by["damage"] = float(f"{allocation.damage:.4g}")
        made_by |= _grown(model, allocation.plan)
        if latency is not None:
            made_by["latency"] = latency.as_dict()
        status = last if settings.fine_tuning is None else TRIED
        trial = recorder.record(status, cost_of(model), clock, recorder.judged(model), layers, made_by)
        if settings.fine_tuning is not None:
            clock = Clock()
            recorder.tuned(model, settings.fine_tuning, settings.seed)
            made_by |= {"fine_tuned": f"{settings.fine_tuning.epochs} epochs", **_grown(model, allocation.plan)}
            trial = recorder.record(last, cost_of(model), clock, recorder.judged(model), layers, made_by)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            measured, refused = self._deployed(model, path), None
        except UserError as error:  # the model is there all the same
            measured, refused = None, error
        if measured is not None:
            trial = recorder.noted(trial, {DEPLOYED: measured.as_dict()})
        card = self._card(keep, allocation, latency, trial, measured)
        delivered = delivery.deliver(model, allocation.plan, allocation.cost, path, card)
        if refused is not None:
            raise refused
        held = model if is_chosen or path is None else None
        return Point(keep, allocation, held, trial, delivered, fitted, latency, measured)

    def _deployed(self, model: keras.Model, path: Path | None) -> Measurement | None:
        """Writes the file for the runtime beside ``path``, measures and records it; None if none is asked for."""
        if not self.writes_file or path is None:
            return None
        job, at = self.recorder.job, self.engine.precision
        runtime = runtimes.get(at.runtime)
        judged = None if job.data is None else judged_in(job.data, job.task)
        how = DeploySettings(at.runtime, at.name)
        written = path.with_suffix(runtime.suffix)
        found = deploy(model, written, how, self.calibration, judged, self.recorder.progress)
        job.database.record_measurement(found)
        return found

    def _layers(self, allocation: Allocation, model: keras.Model) -> tuple[LayerRecord, ...]:
        plan = allocation.plan
        alike = self.reference.similarities(model, plan) if plan else {}
        # A fit to data changes the weights of layers that keep their shape.
        same = None if self.engine.settings.fit == "data" else 1.0
        return tuple(
            LayerRecord(path, one.configuration, one.cost, same if one.configuration is None else alike.get(path))
            for path, one in allocation.options.items()
        )

    def _card(
        self,
        keep: Mapping[str, float | int],
        allocation: Allocation,
        latency: PlanLatency | None,
        trial: TrialRecord,
        measured: Measurement | None,
    ) -> Card:
        settings, data = self.engine.settings, self.calibration.data
        tuned = settings.fine_tuning
        how = f"then fine-tuned for at most {tuned.epochs} epochs" if tuned else "without training"
        judged = (
            "No accuracy is known: there were no labels."
            if data is None
            else f"Judged on {count_of(data.x_validation):,} other samples, and on {count_of(data.x_test):,} to test, "
            "which were used for nothing else."
        )
        notes = [
            f"Calibrated on {len(self.calibration.samples[0]):,} samples of {self.calibration.name}, without their "
            f"labels; factors fitted to {settings.fit}, chosen by {settings.value}. {judged}"
        ]
        if self.engine.skipped:
            notes.append(f"Left as they are: {by_reason(self.engine.skipped)}.")
        if settings.fit == "data" and allocation.plan:
            notes.append("Layers that are not in the table keep their shape; their weights may be fitted too.")
        if grown := trial.made_by.get(GROWTH):
            path = max(grown, key=lambda one: grown[one])
            notes.append(
                f"The rank-one terms of CP cancel each other most in {path}: their squared norms are {grown[path]:.3g} "
                "times that of their sum. The larger this is, the more do roundings of the weights change the outputs."
            )
        if latency is not None:
            notes.append(f"{latency.told}.")
        if measured is not None:
            notes.append(f"{measured.told}.")
        made = f"Made by Rankline in run {self.recorder.run}: at most {asked_text(keep)}, {how}."
        return Card(self.engine.model.name, made, self.recorder.trials[0], trial, notes)


def _facts(job: Job, engine: CalibratedModel, calibration: Calibration) -> dict[str, Any]:
    """How the run was made, as plain values."""
    how = engine.settings
    return {
        "strategy": "budget",
        "methods": list(engine.methods),
        "value": how.value,
        "fit": how.fit,
        "fit_settings": asdict(how.fit_settings or FitSettings(seed=how.seed)),
        "solver": how.solver,
        "precision": how.precision,
        "runtime": how.runtime,
        "samples": len(calibration.samples[0]),
        "include": list(how.include),
        "exclude": list(how.exclude),
        "skipped": engine.skipped,
        "seed": how.seed,
        "fine_tuning": None if how.fine_tuning is None else asdict(how.fine_tuning),
        "data": calibration.name,
        "preparation": dict(calibration.preparation),
        "frozen": frozen_layers(job.model),
        "versions": versions(),
        **score_facts(job),
        **job.request,
    }


def _grown(model: keras.Model, plan: Plan) -> dict[str, dict[str, float]]:
    """How far the terms of CP cancel each other, by layer; nothing without CP."""
    found = {path: float(f"{one:.4g}") for path, one in growths(model, plan).items()}
    return {GROWTH: found} if found else {}


def _damages(allocations: Sequence[Allocation], settings: BudgetSettings) -> dict[str, dict[str, float]]:
    """The predicted damage of each layer, by trial number."""
    each = 1 if settings.fine_tuning is None else 2
    return {
        str(1 + each * number + extra): {path: float(option.damage) for path, option in one.options.items()}
        for number, one in enumerate(allocations)
        for extra in range(each)
    }


@contextmanager
def each_warning_once() -> Iterator[None]:
    """Issues each calibration warning once, though several statistics use the same samples."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CalibrationWarning)
        yield
    for text, category in dict.fromkeys((str(one.message), one.category) for one in caught):
        warnings.warn(text, category, stacklevel=4)


@contextmanager
def no_calibration_warnings() -> Iterator[None]:
    """Suppresses calibration warnings, which were issued for these samples before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CalibrationWarning)
        yield
