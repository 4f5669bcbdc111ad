"""The search: all targets at rank one, one-shot fine-tuning, and higher ranks where feature maps are unlike.

Every trial is recorded in the database, with each layer's choice, similarity and error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from time import perf_counter

import keras

from compress.candidates import candidates
from compress.data import Data
from compress.methods import get as decomposition
from compress.plan import Choice, Plan
from compress.similarity import similarities
from compress.surgery import factorize, find_layer
from compress.training import FineTuning, Score, evaluate, fine_tune
from db.database import Database
from db.runs import (
    CHOSEN,
    FAILED,
    FELL_SHORT,
    INTERRUPTED,
    ORIGINAL,
    SUCCESS,
    TRIED,
    LayerRecord,
    TrialRecord,
    choose_trial,
    finish_run,
    record_trial,
    start_run,
)
from db.solution import Solution
from dse.errors import UserError, one_of
from dse.formula import Cost
from dse.reader import describe
from dse.totals import network_cost

VERSIONS = ("rankline", "keras", keras.backend.backend(), "numpy", "tensorly")
"""Packages whose versions are recorded with a run."""

OBJECTIVES = ("params", "flops", "memory")


@dataclass(frozen=True)
class Settings:
    """What a run is made with; fractions, not percent.

    methods: for convolutions and for dense layers; max_drop: the most that accuracy may fall; step: how much of
    the objective's reduction a layer gives back at a time; max_solutions: configurations tried a level;
    sequential_threshold, other_threshold: the similarity at which a layer keeps its ranks, where every path
    from input to output passes through it and elsewhere; samples: training samples that similarity is taken on.
    """

    objective: str = "params"
    conv_method: str = "tucker"
    dense_method: str = "svd"
    max_drop: float = 0.015
    step: float = 0.05
    max_solutions: int = 1
    tolerance: float = 0.005
    sequential_threshold: float = 0.92
    other_threshold: float = 0.96
    samples: int = 1000
    max_trials: int = 60
    fine_tuning: FineTuning = field(default_factory=FineTuning)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise one_of("objective", self.objective, list(OBJECTIVES))
        for method in (self.conv_method, self.dense_method):
            decomposition(method)
        for name, low, high in (("max_drop", 0, 1), ("step", 0.001, 1), ("tolerance", 0, 1)):
            if not low <= getattr(self, name) <= high:
                raise UserError(f"{name} must be a fraction from {low} to {high}; got {getattr(self, name)}")
        for name in ("max_solutions", "samples", "max_trials"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1; got {getattr(self, name)}")


@dataclass(frozen=True)
class Run:
    """A finished search: the chosen model with its plan, and all trials as recorded, the original first."""

    id: int
    status: str
    model: keras.Model
    plan: Plan
    original: TrialRecord
    chosen: TrialRecord
    trials: tuple[TrialRecord, ...]
    skipped: Mapping[str, str]


@dataclass
class _Target:
    """A layer on its way up: the configurations still to come, and the one it has now."""

    threshold: float
    upcoming: Iterator[Solution]
    solution: Solution | None
    original: Cost


def search(
    model: keras.Model,
    data: Data,
    database: Database,
    network: str,
    settings: Settings,
    on_trial: Callable[[TrialRecord], None] = lambda trial: None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Run:
    """Compresses ``model`` with the configurations that the database has of ``network``; see the module.

    Ends with the first trial within ``max_drop`` of the original's validation accuracy (status ``success``), or
    with the most accurate one when configurations or trials run out (``fell short``).
    Raises UserError for weights that are not finite, and where no layer can be made smaller.
    """
    _check_weights(model)
    targets, skipped = _targets(database, network, settings)
    versions = {package: version(package) for package in VERSIONS}
    values = {**asdict(settings), "data": data.name, "skipped": skipped, "versions": versions}
    run_id = start_run(database.engine, database.network_id(network), values, settings.seed)
    try:
        return _Search(model, data, database, settings, targets, skipped, run_id, on_trial, callbacks).run()
    except BaseException as error:
        ended = INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
        finish_run(database.engine, run_id, ended)
        raise


class _Search:
    """One run under way."""

    def __init__(
        self,
        model: keras.Model,
        data: Data,
        database: Database,
        settings: Settings,
        targets: Mapping[str, _Target],
        skipped: Mapping[str, str],
        run_id: int,
        on_trial: Callable[[TrialRecord], None],
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        self.model = model
        self.data = data
        self.engine = database.engine
        self.settings = settings
        self.targets = targets
        self.skipped = skipped
        self.run_id = run_id
        self.on_trial = on_trial
        self.callbacks = callbacks
        self.errors: dict[tuple[str, Choice], float] = {}
        self.trials: list[TrialRecord] = []
        self.best: tuple[TrialRecord, keras.Model, Plan] | None = None

    def run(self) -> Run:
        """Trial by trial until one is good enough or nothing is left to try."""
        started = perf_counter()
        score = self._evaluate(self.model)
        self._record(ORIGINAL, score, cost_of(self.model), perf_counter() - started, ())
        wanted = score.accuracy - self.settings.max_drop - 1e-9  # a drop of just max_drop is allowed
        keep: tuple[keras.Model, Plan] | None = None
        while any(target.solution for target in self.targets.values()):
            started = perf_counter()
            plan = {path: _choice(target.solution) for path, target in self.targets.items() if target.solution}
            compressed = factorize(self.model, plan, keep)
            keep = compressed, plan
            self._fine_tune(compressed)
            score = self._evaluate(compressed)
            alike = similarities(self.model, compressed, plan, self.data.x_train[: self.settings.samples])
            good = score.accuracy >= wanted
            record = self._record(
                TRIED,
                score,
                cost_of(compressed),
                perf_counter() - started,
                self._layers(plan, alike),
            )
            if self.best is None or record.accuracy > self.best[0].accuracy or good:
                self.best = record, compressed, plan
            if good or len(self.trials) > self.settings.max_trials:
                break
            self._advance(alike)
        return self._finish(wanted)

    def _advance(self, alike: Mapping[str, float]) -> None:
        """The next configuration for the layers below their threshold; for the least alike quarter if none is."""
        unlike = [path for path, value in alike.items() if value < self.targets[path].threshold]
        if not unlike:
            unlike = sorted(alike, key=lambda path: alike[path])[: math.ceil(len(alike) / 4)]
        for path in unlike:
            self.targets[path].solution = next(self.targets[path].upcoming, None)

    def _fine_tune(self, model: keras.Model) -> None:
        data = self.data
        seed = self.settings.seed + len(self.trials)
        train, validation = (data.x_train, data.y_train), (data.x_validation, data.y_validation)
        fine_tune(model, train, validation, self.settings.fine_tuning, seed, self.callbacks)

    def _evaluate(self, model: keras.Model) -> Score:
        return evaluate(model, self.data.x_validation, self.data.y_validation)

    def _record(
        self, status: str, score: Score, cost: Cost, seconds: float, layers: tuple[LayerRecord, ...]
    ) -> TrialRecord:
        record = TrialRecord(len(self.trials), status, score.accuracy, score.loss, cost, seconds, layers)
        record_trial(self.engine, self.run_id, record)
        self.trials.append(record)
        self.on_trial(record)
        return record

    def _layers(self, plan: Plan, alike: Mapping[str, float]) -> tuple[LayerRecord, ...]:
        """Every target's choice; those that went back to dense have no method."""
        records = []
        for path, target in self.targets.items():
            if target.solution is None:
                records.append(LayerRecord(path, None, None, None, target.original, 1.0, 0.0))
                continue
            one = target.solution
            error = self._error(path, plan[path])
            records.append(LayerRecord(path, one.method, one.ranks, one.shape, one.cost, alike[path], error))
        return tuple(records)

    def _error(self, path: str, choice: Choice) -> float:
        """Relative Frobenius error of the decomposition, before any fine-tuning."""
        if (path, choice) not in self.errors:
            method, layer = decomposition(choice.method), find_layer(self.model, path)
            weights = keras.ops.convert_to_numpy(layer.kernel)  # type: ignore[union-attr]
            self.errors[path, choice] = method.error(weights, method.decompose(weights, choice.ranks, choice.shape))
        return self.errors[path, choice]

    def _finish(self, wanted: float) -> Run:
        if self.best is None:
            raise UserError("no trial was made")
        record, model, plan = self.best
        chosen = self.trials[record.number] = replace(record, status=CHOSEN)
        choose_trial(self.engine, self.run_id, record.number)
        status = SUCCESS if record.accuracy >= wanted else FELL_SHORT
        return Run(self.run_id, status, model, plan, self.trials[0], chosen, tuple(self.trials), self.skipped)


def cost_of(model: keras.Model) -> Cost:
    """Params, feature-map elements and FLOPs of one sample through a model, counted from its layers."""
    shape = describe(model)
    return network_cost(shape.params, shape.layers)


def _targets(database: Database, network: str, settings: Settings) -> tuple[dict[str, _Target], dict[str, str]]:
    """The layers to factorize, and why the others are not. Raises UserError where there are none."""
    stored = {(row["layer"], row["method"]) for row in database.spaces(network)}
    targets: dict[str, _Target] = {}
    skipped: dict[str, str] = {}
    for row in database.layers(network):
        name = row["name"]
        method = _method_for(row, stored, settings)
        if row["kept_because"] or method is None:
            skipped[name] = row["kept_because"] or f"not explored by {settings.conv_method} or {settings.dense_method}"
            continue
        solutions = database.solutions(name, method, network)
        upcoming = candidates(
            solutions, settings.objective, settings.step, settings.max_solutions, settings.tolerance, settings.seed
        )
        first = next(upcoming, None)
        if first is None:
            skipped[name] = f"no rank of {method} lowers both params and FLOPs"
            continue
        threshold = settings.sequential_threshold if row["sequential"] else settings.other_threshold
        targets[name] = _Target(threshold, upcoming, first, Cost(row["params"], row["fm"], row["flops"]))
    if not targets:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        raise UserError(f"no layer of '{network}' can be made smaller ({reasons})")
    return targets, skipped


def _method_for(row: Mapping[str, object], stored: set[tuple[str, str]], settings: Settings) -> str | None:
    """The run's method for the layer's kind; SVD for a convolution that the run's conv method does not apply to."""
    wanted = (settings.conv_method, "svd") if row["kind"] == "conv" else (settings.dense_method,)
    return next((method for method in wanted if (row["name"], method) in stored), None)


def _choice(solution: Solution | None) -> Choice:
    assert solution is not None
    return Choice(solution.method, solution.ranks, solution.shape)


def _check_weights(model: keras.Model) -> None:
    for weight in model.weights:
        if "float" in weight.dtype and not bool(keras.ops.all(keras.ops.isfinite(weight))):
            raise UserError(f"weight '{weight.path}' of '{model.name}' holds NaN or infinity; train or load it again")
