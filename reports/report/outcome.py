"""What a run saved and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rankline.src.db.database import Database
from rankline.src.db.records.measure import ACCURACY, Measure, Tested, measure_of, tested
from rankline.src.db.records.networks import LayerRow, NetworkRow
from rankline.src.db.records.runs import CHOSEN, ORIGINAL, RUNNING, TRIED, RunRow, TrialRecord
from rankline.src.dse.cost import Cost, total
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.metric import metric


@dataclass(frozen=True)
class Change:
    """A part of the network before and after: params (weights), fm (elements) and FLOPs of a sample."""

    part: str
    before: Cost
    after: Cost

    def reduction(self, name: str) -> float | None:
        """The fraction of a metric that is saved; None if it was 0 before."""
        return metric(name).reduction(self.after, self.before) if metric(name).of(self.before) else None

    def titled(self, title: str, name: str) -> str:
        """A title for the values of a metric: with "at least" where some layers' are unknown."""
        return metric(name).titled(title, self.before)

    def value(self, when: str, name: str) -> int:
        """The value of a metric ``before`` or ``after``."""
        return metric(name).of(self.before if when == "before" else self.after)


@dataclass(frozen=True)
class Outcome:
    """A run, its trials, and the best trial: the chosen one, else that with the best score; None without any."""

    run: RunRow
    trials: Sequence[TrialRecord]
    original: TrialRecord | None
    best: TrialRecord | None
    changes: Sequence[Change]

    @property
    def tried(self) -> Sequence[TrialRecord]:
        """The trials without the original."""
        return [trial for trial in self.trials if trial.status != ORIGINAL]

    @property
    def measure(self) -> Measure:
        """What its models are judged by."""
        return measure_of(self.run.settings)

    @property
    def test(self) -> Tested:
        """The values of the written model and of the original on the test part."""
        return tested(self.run)

    @property
    def value(self) -> float | None:
        """The value of the best trial on validation data; None if there is none."""
        return None if self.best is None else self.measure.of(self.best)

    @property
    def original_value(self) -> float | None:
        """That of the original."""
        return None if self.original is None else self.measure.of(self.original)

    @property
    def change(self) -> str:
        """The difference of the two, in words."""
        return self.measure.change(self.original_value, self.value)

    @property
    def seconds(self) -> float:
        """The seconds of all trials together."""
        return float(sum(trial.seconds for trial in self.trials))


def choose(database: Database, network: str | None, run: int | None) -> tuple[NetworkRow, RunRow | None]:
    """The network to report, and its run: the given one, else the latest that is not running, else None.

    If no network is named, the run decides. Raises UserError for an unknown network or run, for a run of another
    network, and if there is no network or more than one to choose from.
    """
    runs = {row.id: row for row in database.runs()}
    if run is not None:
        if run not in runs:
            raise one_of("run", str(run), [str(key) for key in runs])
        network = network or runs[run].network
    database.network_id(network)
    found = next(row for row in database.networks() if network in (None, row.name))
    if run is not None:
        if runs[run].network != found.name:
            raise UserError(f"run {run} is of network '{runs[run].network}', not '{found.name}'; leave one out")
        return found, runs[run]
    finished = [row for row in runs.values() if row.network == found.name and row.status != RUNNING]
    return found, finished[-1] if finished else None


def outcome(run: RunRow, trials: Sequence[TrialRecord], network: NetworkRow, layers: Sequence[LayerRow]) -> Outcome:
    """The outcome of a run, from its rows and those of its network and layers."""
    original = next((trial for trial in trials if trial.status == ORIGINAL), None)
    best = best_trial(trials, measure_of(run.settings))
    changes = [] if best is None else _changes((original or network).cost, best, layers)
    return Outcome(run, trials, original, best, changes)


def best_trial(trials: Sequence[TrialRecord], measure: Measure = ACCURACY) -> TrialRecord | None:
    """The chosen trial; if there is none, the one with the best accuracy or score, which a run that fell short writes;
    without any the last one."""
    tried = [trial for trial in trials if trial.status != ORIGINAL]
    chosen = [trial for trial in tried if trial.status == CHOSEN]
    known = [(value, trial) for trial in tried if (value := measure.goodness(trial)) is not None]
    most_accurate = [trial for _, trial in sorted(known, key=lambda pair: -pair[0])]
    made = [trial for trial in tried if trial.status == TRIED][::-1]
    return next(iter(chosen or most_accurate or made), None)


def _changes(before: Cost, best: TrialRecord, layers: Sequence[LayerRow]) -> list[Change]:
    """The changes of the whole model (all weights), and of its convolutions and dense layers (kernels)."""
    found = [Change("whole model", before, best.cost)]
    now = {choice.layer: choice.cost for choice in best.layers}
    for kind, part in (("conv", "convolutions (kernels)"), ("dense", "dense layers (kernels)")):
        rows = [row for row in layers if row.kind == kind and row.params is not None]
        if rows:
            after = total(now.get(row.name, row.cost) for row in rows)
            found.append(Change(part, total(row.cost for row in rows), after))
    return found
