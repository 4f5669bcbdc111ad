"""What a report tells about a network, gathered from the database."""

from __future__ import annotations

import json
import platform
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

from rankline.src.db.database import Database
from rankline.src.reports.figures.drawn import Drawn
from rankline.src.reports.report.answer import answer
from rankline.src.reports.report.clouds import LayerFigures, layer_figures
from rankline.src.reports.report.formulas import Written, written_formulas
from rankline.src.reports.report.outcome import Outcome, Row, choose, outcome
from rankline.src.reports.report.run_figures import drawn_curve, drawn_path, drawn_reductions, drawn_similarity

PACKAGES = ("rankline", "keras", "tensorflow", "numpy", "sqlalchemy", "plotly")

SKIPPED, DAMAGES = "skipped", "damages"
"""In a run's settings: the layers that it left out, with their reasons; and the predicted damage of each layer, by
trial, of a run under a budget. Both are told with the layers instead."""


@dataclass(frozen=True)
class Content:
    """Everything that a report tells; ``outcome`` is None without a run, and the figures of a run without a trial.

    ``answer`` is what it says first, in sentences; ``by_layer`` are the figures of the layers that have spaces.
    """

    network: Row
    outcome: Outcome | None
    answer: Sequence[str]
    layers: Sequence[Row]
    spaces: Sequence[Row]
    costs: Drawn | None
    reductions: Drawn | None
    path: Drawn | None
    curve: Drawn | None
    similarity: Drawn | None
    by_layer: Sequence[LayerFigures]
    formulas: Sequence[Written]
    settings: Sequence[tuple[str, str]]
    versions: Sequence[tuple[str, str]]
    made: str
    seed: int

    def figures(self) -> list[Drawn]:
        """All figures, in the order of a page."""
        layers = [one for layer in self.by_layer for one in (layer.cloud, layer.front)]
        found = (self.reductions, self.path, self.curve, self.similarity, self.costs, *layers)
        return [one for one in found if one is not None]


def content(database: Database, network: str | None, run: int | None, seed: int) -> Content:
    """The content for a network and a run of it; see ``reports.outcome.choose``. Raises UserError."""
    found, run_row = choose(database, network, run)
    layers = [_with_sizes(row) for row in database.layers(found["name"])]
    result = None if run_row is None else outcome(run_row, database.trials(run_row["id"]), found, layers)
    choices = result.best["layers"] if result and result.best else []
    spaces = database.spaces(found["name"])
    fates = [_with_fate(row, choices, run_row, _damage_shares(result)) for row in layers]
    axes = {row["name"]: sum(size > 1 for size in row["kernel"]) for row in layers}
    return Content(
        network=found,
        outcome=result,
        answer=answer(found, fates, spaces, result),
        layers=fates,
        spaces=spaces,
        costs=drawn_costs(layers),
        reductions=drawn_reductions(fates),
        path=drawn_path(result) if result else None,
        curve=drawn_curve(result) if result else None,
        similarity=drawn_similarity(result) if result else None,
        by_layer=list(layer_figures(database, found["name"], layers, choices, seed)),
        formulas=written_formulas((row["method"], axes[row["layer"]]) for row in spaces),
        settings=[] if run_row is None else _settings(run_row),
        versions=_versions(),
        made=datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
        seed=seed,
    )


def _with_sizes(row: Row) -> dict[str, Any]:
    return {**row, **{key: json.loads(row[key]) for key in ("kernel", "in_size", "out_size", "strides", "dilation")}}


def _with_fate(row: Row, choices: Sequence[Row], run: Row | None, damages: Mapping[str, float]) -> dict[str, Any]:
    """The layer with its ``choice`` in the run, its share of the ``damage`` where that was predicted, and ``kept``:
    why it is as it was, where it is."""
    choice = next((one for one in choices if one["layer"] == row["name"]), None)
    skipped = _mapping(_mapping(run and run["settings"]).get(SKIPPED))
    kept = row["kept_because"] or skipped.get(row["name"])
    if kept is None and choice is not None and choice["method"] is None:
        kept = "the budget had room for it" if damages else "no configuration was close enough to the original"
    made = choice if choice and choice["method"] else None
    return {**row, "choice": made, "kept": kept, "damage": damages.get(row["name"])}


def _damage_shares(result: Outcome | None) -> dict[str, float]:
    """Each layer's share of the damage that was predicted of the trial that counts."""
    if result is None or result.best is None:
        return {}
    found = _mapping(_mapping(_mapping(result.run["settings"]).get(DAMAGES)).get(str(result.best["number"])))
    total = sum(found.values())
    return {name: value / total if total else 0.0 for name, value in found.items()}


def drawn_costs(layers: Sequence[Row]) -> Drawn | None:
    """Where a network's params, feature maps and FLOPs are; None where nothing is known of them."""
    import pandas as pd

    from rankline.src.reports.figures.network_costs import network_costs

    keys = ("name", "kind", "params", "fm", "flops")
    known = [{key: row[key] for key in keys} for row in layers if row["params"] is not None]
    if not known:
        return None
    frame = pd.DataFrame(known, dtype=object)
    return Drawn("costs", "Shares of the layers in params, feature maps and FLOPs", network_costs(frame, ""))


def _settings(run: Row) -> list[tuple[str, str]]:
    rows = [
        ("run", str(run["id"])),
        ("started (UTC)", str(run["started"])[:19].replace("T", " ")),
        ("seed", str(run["seed"])),
    ]
    given = {key: value for key, value in _mapping(run["settings"]).items() if key not in (SKIPPED, DAMAGES, "seed")}
    return rows + _flat("", given)


def _flat(prefix: str, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in sorted(values.items()):
        nested = isinstance(value, Mapping)
        rows += _flat(f"{prefix}{key}.", value) if nested else [(prefix + key, str(value))]
    return rows


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _versions() -> list[tuple[str, str]]:
    rows = [(name, version(name)) for name in PACKAGES]
    return [*rows, ("python", platform.python_version()), ("sqlite", sqlite3.sqlite_version)]
