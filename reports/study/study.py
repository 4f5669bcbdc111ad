"""The whole study, with its tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rankline.src.db.database import Database, open_database
from rankline.src.dse.devices.device import Device
from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.metric import METRICS
from rankline.src.dse.progress import Progress
from rankline.src.dse.zoo import FOURTEEN
from rankline.src.reports.report.table import Table
from rankline.src.reports.study.constraints import constraints
from rankline.src.reports.study.counts import Clock, counts, times
from rankline.src.reports.study.figures import (
    constraints_figure,
    counts_figure,
    scores_figure,
    steps_figure,
    times_figure,
)
from rankline.src.reports.study.latencies import OnDevice, measure_on
from rankline.src.reports.study.latency_figures import fastest_figure, latency_figure
from rankline.src.reports.study.latency_tables import faster_table, latency_table
from rankline.src.reports.study.measures import OTHER, Measures, measure_all
from rankline.src.reports.study.networks import Studied, studied
from rankline.src.reports.study.published import CASES, Case
from rankline.src.reports.study.scores import GROUPS, scores
from rankline.src.reports.study.steps import level_titles, steps

if TYPE_CHECKING:
    import plotly.graph_objects as go

PARTS = ("counts", "steps", "constraints", "scores", "latency")
"""The last of them needs a device."""

SYMBOLS = "Symbols: ours, in the colour of the method. Upright ticks: published, rounded down."
LINES = "Solid lines: useful solutions; dotted: better ones; no symbol without a solution. Equal counts overlap."
BARS = (
    "Pale bars: from the least to the largest reduction over all distinct layers. Full bars: the median layer's range; "
    "it is as narrow as the window if most layers have input and output of one size."
)
LATENCIES = (
    "Symbols: the median over the layers of a method's lowest latency; bars: from the least layer to the largest; "
    "dashed: the original. Below: on how many layers a method is the fastest of all; methods that share it overlap."
)
SCORES = "1: the best method on every layer. Formulas below."


@dataclass(frozen=True)
class Section:
    """A part of the study: tables, figures with headings, and how to read them."""

    name: str
    title: str
    tables: Sequence[Table]
    figures: Sequence[tuple[str, go.Figure]]
    reading: str


@dataclass(frozen=True)
class Study:
    """The requested sections; ``studied`` is None if no database was needed, ``device`` if none was asked or known."""

    sections: Sequence[Section]
    studied: Studied | None
    device: Device | None = None

    def tables(self) -> Iterator[Table]:
        """The tables of all sections."""
        return (table for section in self.sections for table in section.tables)


def study(
    location: str,
    part: str,
    step: float,
    clock: Clock,
    progress: Progress,
    cases: Sequence[Case] = CASES,
    device: str | None = None,
) -> Study:
    """The study's ``part`` (counts, steps, constraints, scores, latency, or all) from the database at ``location``.

    ``step`` is the width of a level of params reduction, ``clock`` returns seconds. Latencies are those on ``device``
    or, if none is named, on the only one of the database; all is without them if it has none, or several. Raises
    UserError for an unknown part or device, a bad step, and a database without any of the fourteen networks.
    """
    if part not in (*PARTS, "all"):
        raise one_of("table", part, [*PARTS, "all"])
    wanted = PARTS if part == "all" else (part,)
    if device is not None and "latency" not in wanted:
        raise UserError(f"a device is for the tables of latency, not for {part}; ask for latency or all")
    found = None if part in ("counts", "steps") else _found(location, part, progress, device)
    sections = []
    if "counts" in wanted:
        sections.append(_counts(clock, cases))
    if "steps" in wanted:
        sections.append(_steps(step, cases))
    if found is None:
        return Study(sections, None)
    if "constraints" in wanted:
        sections.append(_constraints(found.studied, found.measures))
    if "scores" in wanted:
        sections.append(_scores(found.studied, found.measures))
    if found.timed is not None:
        sections.append(_latency(found.studied, found.timed))
    return Study(sections, found.studied, None if found.timed is None else found.timed.device)


@dataclass(frozen=True)
class _Found:
    """What is known from the database of the networks' layers and spaces."""

    studied: Studied
    measures: Mapping[int, Measures]
    timed: OnDevice | None


def _found(location: str, part: str, progress: Progress, device: str | None) -> _Found:
    try:
        database = open_database(location, create=False)
        found = studied(database)
    except UserError as error:
        raise UserError(
            f"{error}; the study needs some of {', '.join(FOURTEEN)}: rankline explore --zoo --db {location}"
        ) from error
    try:
        known = _device(database, part, device)
        measures = {} if part == "latency" else measure_all(database.engine, found.layers, progress)
        timed = None if known is None else measure_on(database, known, found.layers, progress)
        return _Found(found, measures, timed)
    finally:
        database.close()


def _device(database: Database, part: str, name: str | None) -> Device | None:
    """The device to tell latencies of, if any. Raises UserError."""
    if part == "latency" or name is not None:
        return database.device(name)
    return database.device() if part == "all" and len(database.devices()) == 1 else None


def _counts(clock: Clock, cases: Sequence[Case]) -> Section:
    table = counts(cases)
    timed = times(clock, cases)
    figures = [
        ("Solutions of each layer by each method, and the published counts", counts_figure(table)),
        ("Seconds to generate them", times_figure(timed)),
    ]
    return Section("counts", "Counts", (table, timed), figures, SYMBOLS)


def _steps(step: float, cases: Sequence[Case]) -> Section:
    table = steps(step, cases)
    figures = []
    for case in cases:
        rows = [row for row in table.rows if (row["layer"], row["stride"]) == (case.title, case.stride)]
        figures.append((case.name, steps_figure(rows, level_titles(step))))
    return Section("steps", "Levels of params reduction", (table,), figures, LINES)


def _constraints(found: Studied, measures: Mapping[int, Measures]) -> Section:
    tables, figures = [], []
    for metric, other in OTHER.items():
        table = constraints(found, measures, metric)
        tables.append(table)
        fixed, ranging = METRICS[metric].title, METRICS[other].title
        for layers in dict.fromkeys(row["layers"] for row in table.rows):
            rows = [row for row in table.rows if row["layers"] == layers]
            heading = f"Range of {ranging} reductions at a fixed {fixed} reduction, {layers} layers"
            figures.append((heading, constraints_figure(rows, fixed, ranging)))
    return Section("constraints", "Fixed reductions", tables, figures, BARS)


def _scores(found: Studied, measures: Mapping[int, Measures]) -> Section:
    tables = [scores(found, measures, group) for group in GROUPS]
    figures = [
        (table.title, scores_figure(table, methods)) for table, methods in zip(tables, GROUPS.values(), strict=True)
    ]
    return Section("scores", "Scores", tables, figures, SCORES)


def _latency(found: Studied, timed: OnDevice) -> Section:
    table = latency_table(found, timed)
    figures = []
    for layers in dict.fromkeys(row["layers"] for row in table.rows):
        rows = [row for row in table.rows if row["layers"] == layers]
        figures.append((f"Lowest latency at a fixed params reduction, {layers} layers", latency_figure(rows)))
        figures.append((f"The fastest method at a fixed params reduction, {layers} layers", fastest_figure(rows)))
    title = f"Latency on {timed.device.name}"
    return Section("latency", title, (table, faster_table(found, timed)), figures, LATENCIES)
