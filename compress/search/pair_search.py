"""The searches that a hybrid combines, one with each pair of methods.

Recorded searches with the same model, data and settings are reused, and those that were stopped, or may now try more
than before, are resumed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras

from rankline.src.compress.runs.checkpoints import checkpoints_of
from rankline.src.compress.runs.facts import key_of
from rankline.src.compress.runs.job import Job
from rankline.src.compress.runs.run import Run
from rankline.src.compress.runs.settings import Settings
from rankline.src.compress.search.search import search
from rankline.src.compress.search.targets import targets_of
from rankline.src.compress.training.fine_tuning import DivergedError
from rankline.src.db.records.runs import (
    CHOSEN,
    FELL_SHORT,
    INTERRUPTED,
    SUCCESS,
    RunRow,
    TrialRecord,
    finish_run,
    trials,
)
from rankline.src.dse.errors import UserError


@dataclass(frozen=True)
class PairSearch:
    """A finished search with one pair of methods: its status and the chosen trial."""

    run: int
    settings: Settings
    status: str
    original: TrialRecord
    chosen: TrialRecord


def pairs_of(
    job: Job, settings: Settings, conv_methods: Sequence[str], dense_methods: Sequence[str]
) -> tuple[list[Settings], dict[str, str]]:
    """The settings of every pair of methods whose targets differ from those of earlier pairs; and the layers that no
    pair factorizes, with the reason.

    Without a dense layer to factorize, for example, all methods for dense layers give the same targets.
    """
    pairs: dict[frozenset[tuple[str, str]], Settings] = {}
    skips: list[dict[str, str]] = []
    reasons = []
    for conv_method in conv_methods:
        for dense_method in dense_methods:
            pair = replace(settings, conv_method=conv_method, dense_method=dense_method)
            try:
                targets, skipped = targets_of(job.model, job.database, job.network, pair, job.numbers)
            except UserError as error:
                reasons.append(str(error))
                continue
            found = {(path, target.configuration.method) for path, target in targets.items() if target.configuration}
            pairs.setdefault(frozenset(found), pair)
            skips.append(skipped)
    if not pairs:
        raise UserError(reasons[0] if reasons else "the hybrid needs at least one method for each kind of layer")
    always = {path: why for path, why in skips[0].items() if all(path in other for other in skips)}
    return list(pairs.values()), always


def part_of(job: Job, settings: Settings) -> PairSearch | DivergedError:
    """The search with these settings: reused from the record, resumed, or made now; the error if all trials diverge."""
    key, resume = key_of(job, settings), None
    for row in job.database.runs():
        if row.settings.get("key") != key:
            continue
        checkpoints = checkpoints_of(job.database.location, row.id)
        kept = checkpoints is not None and checkpoints.folder.exists()
        if row.status == SUCCESS or (row.status == FELL_SHORT and not (kept and _may_go_on(row, settings))):
            records = trials(job.database.engine, row.id)
            chosen = next((one for one in records if one.status == CHOSEN), None)
            if chosen is not None:
                return PairSearch(row.id, settings, row.status, records[0], chosen)
        elif kept:
            resume = row.id
    try:
        run = _search(job, settings, resume)
    except DivergedError as error:
        return error
    return PairSearch(run.id, settings, run.status, run.original, run.chosen)


def _may_go_on(row: RunRow, settings: Settings) -> bool:
    """Whether a run that fell short had fewer trials or minutes than these settings allow."""
    most, minutes = row.settings["max_trials"], row.settings["max_minutes"]
    return most <= row.trials < settings.max_trials or (
        minutes is not None and (settings.max_minutes or math.inf) > minutes
    )


def model_of(part: PairSearch, job: Job) -> tuple[TrialRecord, keras.Model]:
    """The trial that a search chose, with its model. If its file is gone, the search is repeated, with equal result."""
    checkpoints = checkpoints_of(job.database.location, part.run)
    try:
        if checkpoints is not None:
            return part.chosen, checkpoints.load(part.chosen.number)
    except UserError:
        pass
    run = _search(job, part.settings)
    return run.chosen, run.model


def _search(job: Job, settings: Settings, resume: int | None = None) -> Run:
    """Makes the search and closes its record. Raises KeyboardInterrupt if Ctrl-C ended it."""
    run = search(replace(job, request={}), settings, resume)
    finish_run(job.database.engine, run.id, run.status)
    if run.status == INTERRUPTED:
        raise KeyboardInterrupt
    return run
