"""The main job: a model explored, made smaller by a strategy, and delivered."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from rankline.src.compress.baselines.strategies import pruning, vbmf
from rankline.src.compress.data.sets import Data
from rankline.src.compress.model.files import check_saving
from rankline.src.compress.runs.card import Card
from rankline.src.compress.runs.checkpoints import checkpoints_of
from rankline.src.compress.runs.deliver import Delivered, Delivery
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.recorder import Recorder
from rankline.src.compress.runs.run import Run
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.runs.watch import OnPart, Watch
from rankline.src.compress.search.hybrid import CONV_METHODS, DENSE_METHODS, hybrid
from rankline.src.compress.search.search import search
from rankline.src.compress.training.fine_tuning import ScoreFunction
from rankline.src.db.records.runs import SUCCESS, TrialRecord, recorded_end
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.plan import Plan


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


@dataclass(frozen=True, eq=False)
class Approach:
    """strategy: one of STRATEGIES; methods: ``{"conv": "tucker", "dense": "svd"}``, for the hybrid several of each;
    metric: a score of your own, of labels and outputs, the higher the better, in the place of accuracy; jobs: how many
    of a hybrid's searches run side by side."""

    strategy: str = "similarity"
    methods: Mapping[str, str | Sequence[str]] | None = None
    metric: ScoreFunction | None = None
    jobs: int = 1

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise one_of("strategy", self.strategy, list(STRATEGIES))
        for kind, given in self.by_kind.items():
            if kind not in ("conv", "dense"):
                raise one_of("kind of layer in methods", kind, ["conv", "dense"])
            if not given or (self.strategy != "hybrid" and len(given) > 1):
                raise UserError(
                    f"strategy {self.strategy} takes one method for {kind} layers, hybrid one or more; "
                    f"got {', '.join(given) or 'none'}"
                )
            for method in given:
                Settings(**{f"{kind}_method": method})  # type: ignore[arg-type]
        if self.jobs != 1 and self.strategy != "hybrid":
            raise UserError(
                f"jobs is the number of a hybrid's searches side by side; strategy {self.strategy} makes one"
            )

    @property
    def by_kind(self) -> dict[str, tuple[str, ...]]:
        """The methods that were named, by kind of layer."""
        return {kind: (one,) if isinstance(one, str) else tuple(one) for kind, one in (self.methods or {}).items()}

    def settings(self, settings: Settings) -> Settings:
        """The settings, with the one method for each kind that was named."""
        if self.strategy == "hybrid":
            return settings
        return replace(settings, **{f"{kind}_method": given[0] for kind, given in self.by_kind.items()})  # type: ignore[arg-type]

    def needed(self, settings: Settings) -> tuple[str, ...]:
        """The methods that the network must be explored by. SVD is for the convolutions that the method for
        convolutions doesn't apply to."""
        if self.strategy != "hybrid":
            return settings.conv_method, settings.dense_method, "svd"
        known = {"conv": CONV_METHODS, "dense": DENSE_METHODS, **self.by_kind}
        return *known["conv"], *known["dense"], "svd"

    def run(self, job: Job, settings: Settings, on_part: OnPart) -> Run:
        """Makes the job's model smaller."""
        more: dict[str, Any] = {}
        if self.strategy == "hybrid":
            more = {f"{kind}_methods": given for kind, given in self.by_kind.items()}
            more |= {"on_part": on_part, "jobs": self.jobs}
        return STRATEGIES[self.strategy](job, settings, **more)


def compressed(
    job: Job, approach: Approach, settings: Settings, out: Path | None, watch: Watch, resume: int | None = None
) -> Compression:
    """Explores what of the job's network isn't, runs the strategy, or goes on with a run, and delivers.

    out: the .keras file to write; None: the model stays in memory.
    """
    data, database = job.labelled, job.database
    check_saving(job.model, [data.x_test], out.parent if out else None)
    database.explore_missing(job.model, job.network, approach.needed(settings), watch.progress)
    run = approach.run(job, settings, watch.on_part) if resume is None else search(job, settings, resume)
    with nullcontext(str(out.parent)) if out else tempfile.TemporaryDirectory() as folder:
        delivered = _delivered(job, run, out or Path(folder) / "model.keras")
    if run.status == SUCCESS:
        for done in (run.id, *run.parts):
            if kept := checkpoints_of(database.location, done):
                kept.remove()
    return Compression(job.model, data, run, delivered)


def _delivered(job: Job, run: Run, path: Path) -> Delivered:
    """A run whose delivery fails is recorded as ``failed``."""
    data = job.labelled
    with recorded_end(job.database.engine, run.id):
        delivery = Delivery(Recorder(job, run.id), [data.x_test])
        made = f"Made by Rankline in run {run.id}, which ended with: {run.status}. "
        made += f"{len(run.trials) - 1} models were tried."
        on = (
            f"Data: {data.name}, {len(data.x_train):,} samples to train, {len(data.x_validation):,} to choose, "
            f"{len(data.x_test):,} to report on; the last were used for nothing else."
        )
        card = Card(job.network, made, run.original, run.chosen, [on])
        delivered = delivery.deliver(run.model, run.plan, run.chosen.cost, path, card)
        delivery.close(run.status, delivered)
    return delivered
