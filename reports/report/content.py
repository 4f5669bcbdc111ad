"""The content of a report on a network, gathered from the database."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

from rankline.src.db.database import Database
from rankline.src.db.records.networks import LayerRow, NetworkRow, SpaceRow
from rankline.src.db.records.runs import RunRow
from rankline.src.reports.figures.drawn import Drawn
from rankline.src.reports.report.answer import answer
from rankline.src.reports.report.clouds import LayerFigures, layer_figures
from rankline.src.reports.report.deployed_files import deployed_files
from rankline.src.reports.report.formulas import Written, written_formulas
from rankline.src.reports.report.latencies import DeviceTimes, device_times, recorded_latency
from rankline.src.reports.report.layers import DAMAGES, SKIPPED, ReportedLayer, reported_layers
from rankline.src.reports.report.outcome import Outcome, choose, outcome
from rankline.src.reports.report.run_figures import drawn_curve, drawn_path, drawn_reductions, drawn_similarity
from rankline.src.reports.report.table import Table

PACKAGES = ("rankline", "keras", "tensorflow", "numpy", "sqlalchemy", "plotly")


@dataclass(frozen=True)
class Content:
    """The content of a report; ``outcome`` is None without a run, and so are a run's figures without a trial.

    ``answer``: the opening sentences; ``times``: latencies on devices; ``recorded``: see ``recorded_latency``;
    ``files``: what a run's files for runtimes were measured to be; ``by_layer``: the figures of the layers that have
    spaces.
    """

    network: NetworkRow
    outcome: Outcome | None
    answer: Sequence[str]
    layers: Sequence[ReportedLayer]
    spaces: Sequence[SpaceRow]
    times: Sequence[DeviceTimes]
    recorded: Mapping[str, Any] | None
    files: Table | None
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
        """All figures, in the order of the page."""
        layers = [one for layer in self.by_layer for one in (layer.cloud, layer.front)]
        found = (self.reductions, self.path, self.curve, self.similarity, self.costs, *layers)
        return [one for one in found if one is not None]


def content(database: Database, network: str | None, run: int | None, seed: int, device: str | None = None) -> Content:
    """The content for a network and one of its runs (see ``outcome.choose``), with latencies on all devices, or on the
    one that is named. Raises UserError."""
    found, run_row = choose(database, network, run)
    rows = database.layers(found.name)
    result = None if run_row is None else outcome(run_row, database.trials(run_row.id), found, rows)
    layers = reported_layers(rows, result)
    spaces = database.spaces(found.name)
    axes = {row.name: sum(size > 1 for size in row.kernel) for row in rows}
    return Content(
        network=found,
        outcome=result,
        answer=answer(found, layers, spaces, result),
        layers=layers,
        spaces=spaces,
        times=device_times(database, layers, result, device, found.params),
        recorded=recorded_latency(result, device),
        files=None if result is None else deployed_files(result.trials, database.measurements()),
        costs=drawn_costs(layers),
        reductions=drawn_reductions(layers),
        path=drawn_path(result) if result else None,
        curve=drawn_curve(result) if result else None,
        similarity=drawn_similarity(result) if result else None,
        by_layer=list(layer_figures(database, found.name, layers, seed)),
        formulas=written_formulas((row.method, axes[row.layer]) for row in spaces),
        settings=[] if run_row is None else _settings(run_row),
        versions=_versions(),
        made=datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
        seed=seed,
    )


def drawn_costs(layers: Sequence[LayerRow]) -> Drawn | None:
    """The figure of where a network's params, feature maps and FLOPs are; None if they are unknown."""
    import pandas as pd

    from rankline.src.reports.figures.network_costs import network_costs

    keys = ("name", "kind", "params", "fm", "flops")
    known = [{key: getattr(row, key) for key in keys} for row in layers if row.params is not None]
    if not known:
        return None
    frame = pd.DataFrame(known, dtype=object)
    return Drawn("costs", "Shares of the layers in params, feature maps and FLOPs", network_costs(frame, ""))


def _settings(run: RunRow) -> list[tuple[str, str]]:
    rows = [
        ("run", str(run.id)),
        ("started (UTC)", str(run.started)[:19].replace("T", " ")),
        ("seed", str(run.seed)),
    ]
    shown_elsewhere = (SKIPPED, DAMAGES, "seed")
    given = {key: value for key, value in run.settings.items() if key not in shown_elsewhere}
    return rows + _flat("", given)


def _flat(prefix: str, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in sorted(values.items()):
        nested = isinstance(value, Mapping)
        rows += _flat(f"{prefix}{key}.", value) if nested else [(prefix + key, str(value))]
    return rows


def _versions() -> list[tuple[str, str]]:
    rows = [(name, version(name)) for name in PACKAGES]
    return [*rows, ("python", platform.python_version()), ("sqlite", sqlite3.sqlite_version)]
