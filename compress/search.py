"""The search: all targets at rank one, one-shot fine-tuning, and higher ranks where feature maps are unlike.

Every trial is recorded in the database, with each layer's choice, similarity and error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from time import perf_counter

import keras

from compress.candidates import candidates
from compress.classifier import frozen_layers
from compress.data import Data
from compress.methods import get as decomposition
from compress.plan import Choice, Plan
from compress.similarity import similarities
from compress.surgery import factorize, find_layer, refusal
from compress.training import DivergedError, FineTuning, Score, evaluate, fine_tune
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
    record_trial,
    recorded_end,
    start_run,
)
from db.solution import Solution
from dse import methods
from dse.errors import UserError, one_of
from dse.formula import Cost
from dse.layer import conv, dense
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
        for option, method, layer in (
            ("conv_method", self.conv_method, conv("conv", (3, 3), 8, 8, (8, 8))),
            ("dense_method", self.dense_method, dense("dense", 8, 8)),
        ):
            if reason := methods.get(decomposition(method).name).refuses(layer):
                raise UserError(f"{option} cannot be '{method}': {reason}")
        for name, low in (("max_drop", 0.0), ("step", 0.001), ("tolerance", 1e-6)):
            if not low <= (value := getattr(self, name)) <= 1:
                raise UserError(
                    f"{name} must be a fraction from {low:g} to 1, {100 * low:g} to 100 points; "
                    f"got {value:g}, {100 * value:g} points"
                )
        for name in ("sequential_threshold", "other_threshold"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise UserError(f"{name} must be a similarity from 0 to 1; got {value}")
        for name in ("max_solutions", "samples", "max_trials"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1; got {getattr(self, name)}")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"seed must be from 0 to {2**31 - 1:,}; got {self.seed}")


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
    with the most accurate one when configurations or trials run out (``fell short``) or Ctrl-C is pressed
    (``interrupted``). A trial that diverges is recorded as ``failed``, and the next configurations are tried.
    Layers that are frozen in ``model`` are factorized, and neither they nor their factors are fine-tuned.
    Raises UserError for weights that are not finite, where no layer can be made smaller, and where every trial
    diverges; KeyboardInterrupt where there is no trial to return yet.
    """
    _check_weights(model)
    targets, skipped = _targets(model, database, network, settings)
    values = {
        **asdict(settings),
        "data": data.name,
        "preparation": data.preparation,
        "skipped": skipped,
        "frozen": frozen_layers(model),
        "versions": {package: version(package) for package in VERSIONS},
    }
    run_id = start_run(database.engine, database.network_id(network), values, settings.seed)
    with recorded_end(database.engine, run_id):
        return _Search(model, data, database, settings, targets, skipped, run_id, on_trial, callbacks).run()


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
        self.best: tuple[float, TrialRecord, keras.Model, Plan] | None = None

    def run(self) -> Run:
        """Trial by trial until one is good enough, nothing is left to try, or Ctrl-C."""
        started = perf_counter()
        score = self._evaluate(self.model)
        self._record(ORIGINAL, score, self.model, started, ())
        try:
            status = self._climb(score.accuracy - self.settings.max_drop - 1e-9)  # a drop of just max_drop is allowed
        except KeyboardInterrupt:
            if self.best is None:
                raise
            status = INTERRUPTED
        return self._finish(status)

    def _climb(self, wanted: float) -> str:
        """Tries until an accuracy of ``wanted``; returns how that ended, with the most accurate trial in ``best``."""
        keep: tuple[keras.Model, Plan] | None = None
        while any(target.solution for target in self.targets.values()) and len(self.trials) <= self.settings.max_trials:
            started = perf_counter()
            plan = {path: _choice(target.solution) for path, target in self.targets.items() if target.solution}
            compressed = factorize(self.model, plan, keep)
            try:
                self._fine_tune(compressed)
                score = self._evaluate(compressed)
            except DivergedError:
                self._record(FAILED, None, compressed, started, self._layers(plan, {}))
                self._advance([path for path in plan if keep and plan[path] != keep[1].get(path)] or plan)
                continue
            keep = compressed, plan
            alike = similarities(self.model, compressed, plan, self.data.x_train[: self.settings.samples])
            record = self._record(TRIED, score, compressed, started, self._layers(plan, alike))
            good = score.accuracy >= wanted
            if self.best is None or good or score.accuracy > self.best[0]:
                self.best = score.accuracy, record, compressed, plan
            if good:
                return SUCCESS
            self._advance(self._unlike(alike))
        return FELL_SHORT

    def _unlike(self, alike: Mapping[str, float]) -> Collection[str]:
        """The layers below their threshold; the least alike quarter if none is."""
        unlike = [path for path, value in alike.items() if value < self.targets[path].threshold]
        return unlike or sorted(alike, key=lambda path: alike[path])[: math.ceil(len(alike) / 4)]

    def _advance(self, paths: Collection[str]) -> None:
        """The next configuration for these layers; those without one go back to what they were."""
        for path in paths:
            self.targets[path].solution = next(self.targets[path].upcoming, None)

    def _fine_tune(self, model: keras.Model) -> None:
        data = self.data
        seed = self.settings.seed + len(self.trials)
        train, validation = (data.x_train, data.y_train), (data.x_validation, data.y_validation)
        fine_tune(model, train, validation, self.settings.fine_tuning, seed, self.callbacks)

    def _evaluate(self, model: keras.Model) -> Score:
        return evaluate(model, self.data.x_validation, self.data.y_validation)

    def _record(
        self, status: str, score: Score | None, model: keras.Model, started: float, layers: tuple[LayerRecord, ...]
    ) -> TrialRecord:
        accuracy, loss = (score.accuracy, score.loss) if score else (None, None)
        seconds = perf_counter() - started
        record = TrialRecord(len(self.trials), status, accuracy, loss, cost_of(model), seconds, layers)
        record_trial(self.engine, self.run_id, record)
        self.trials.append(record)
        self.on_trial(record)
        return record

    def _layers(self, plan: Plan, alike: Mapping[str, float]) -> tuple[LayerRecord, ...]:
        """Every target's choice; those that went back to what they were have no method."""
        records = []
        for path, target in self.targets.items():
            if target.solution is None:
                records.append(LayerRecord(path, None, None, None, target.original, 1.0, 0.0))
                continue
            one = target.solution
            error = self._error(path, plan[path])
            records.append(LayerRecord(path, one.method, one.ranks, one.shape, one.cost, alike.get(path), error))
        return tuple(records)

    def _error(self, path: str, choice: Choice) -> float:
        if (path, choice) not in self.errors:
            self.errors[path, choice] = weight_error(self.model, path, choice)
        return self.errors[path, choice]

    def _finish(self, status: str) -> Run:
        if self.best is None:
            raise UserError(
                f"all {len(self.trials) - 1} trials diverged: their loss is NaN or infinite; lower the learning rate"
            )
        _, record, model, plan = self.best
        chosen = self.trials[record.number] = replace(record, status=CHOSEN)
        choose_trial(self.engine, self.run_id, record.number)
        return Run(self.run_id, status, model, plan, self.trials[0], chosen, tuple(self.trials), self.skipped)


def cost_of(model: keras.Model) -> Cost:
    """Params, feature-map elements and FLOPs of one sample through a model, counted from its layers."""
    shape = describe(model)
    return network_cost(shape.params, shape.layers)


def weight_error(model: keras.Model, path: str, choice: Choice) -> float:
    """Relative Frobenius error of a layer's decomposition, before any fine-tuning."""
    method, layer = decomposition(choice.method), find_layer(model, path)
    weights = keras.ops.convert_to_numpy(layer.kernel)  # type: ignore[union-attr]
    return method.error(weights, method.decompose(weights, choice.ranks, choice.shape))


def _targets(
    model: keras.Model, database: Database, network: str, settings: Settings
) -> tuple[dict[str, _Target], dict[str, str]]:
    """The layers to factorize, and why the others are not. Raises UserError where there are none."""
    stored = {(row["layer"], row["method"]) for row in database.spaces(network)}
    targets: dict[str, _Target] = {}
    skipped: dict[str, str] = {}
    for row in database.layers(network):
        name = row["name"]
        if row["kept_because"]:
            skipped[name] = row["kept_because"]
            continue
        if reason := refusal(model, name):
            skipped[name] = f"it {reason}"
            continue
        method = _method_for(row, stored, settings)
        if method is None:
            skipped[name] = f"not explored by {settings.conv_method} or {settings.dense_method}"
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
