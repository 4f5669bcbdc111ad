"""Two runs side by side: their settings where they differ, their models, and each layer's choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rankline.src.db.database import Database
from rankline.src.db.records.runs import CHOSEN, FELL_SHORT
from rankline.src.dse.errors import UserError

UNTOLD = ("key", "skipped", "request", "made_by", "damages")
"""Settings that are told elsewhere, or mean nothing to people."""

Line = Sequence[Any]


@dataclass(frozen=True)
class Comparison:
    """Rows of a name and the two runs' values; ``accuracies`` are fractions, ``sizes`` of the models that they gave."""

    settings: Sequence[Line]
    accuracies: Sequence[Line]
    sizes: Sequence[Line]
    layers: Sequence[Line]


def compared(database: Database, one: int, other: int) -> Comparison:
    """Two runs. Raises UserError for an unknown one, and for one without a trial."""
    sides = [side(database, run) for run in (one, other)]
    settings = [
        {**side["settings"], **{name: side[name] for name in ("network", "strategy", "status")}} for side in sides
    ]
    names = dict.fromkeys(name for one_side in settings for name in one_side if name not in UNTOLD)
    different = [name for name in names if settings[0].get(name) != settings[1].get(name)]
    choices = [{layer["layer"]: layer for layer in side["trial"]["layers"]} for side in sides]
    layers = dict.fromkeys(name for one_side in choices for name in one_side)
    return Comparison(
        settings=[[name, *(setting_text(side.get(name)) for side in settings)] for name in different],
        accuracies=[
            ["validation accuracy", *(one_side["trial"]["accuracy"] for one_side in sides)],
            ["test accuracy", *(one_side["test_accuracy"] for one_side in sides)],
        ],
        sizes=[
            ["params", *(side["trial"]["params"] for side in sides)],
            ["FLOPs", *(side["trial"]["flops"] for side in sides)],
            ["trials", *(side["trials"] for side in sides)],
        ],
        layers=[[name, *(_choice(side.get(name)) for side in choices)] for name in layers],
    )


def side(database: Database, run: int) -> dict[str, Any]:
    """A run's settings and end, with the trial that it handed over: the original where none was good enough for a
    baseline; the last where the run has not come so far. Raises UserError."""
    trials = database.trials(run)
    (row,) = [row for row in database.runs() if row["id"] == run]
    if not trials:
        raise UserError(f"run {run} has no trial yet")
    otherwise = trials[0 if row["status"] == FELL_SHORT else -1]
    return {
        "network": row["network"],
        "strategy": strategy(row),
        "status": row["status"],
        "settings": row["settings"],
        "trials": row["trials"],
        "test_accuracy": row["accuracy"],
        "trial": next((trial for trial in trials if trial["status"] == CHOSEN), otherwise),
    }


def strategy(row: Mapping[str, Any]) -> str:
    """How a run was made: similarity, hybrid, vbmf, pruning, budget."""
    settings = row["settings"]
    return str(settings.get("strategy") or (settings.get("request") or {}).get("strategy") or "similarity")


def setting_text(value: Any) -> str | None:
    """A setting as people write it: lists and tables with commas."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return None if value is None else str(value)


def ranks_text(ranks: Sequence[int] | None) -> str:
    """Ranks as they are typed: 3x8."""
    return "x".join(map(str, ranks or []))


def _choice(layer: Mapping[str, Any] | None) -> str | None:
    if layer is None:
        return None
    return f"{layer['method']} {ranks_text(layer['ranks'])}" if layer["method"] else "as it was"
