"""``query`` and ``export``: counts, picks and lists of the configurations of a layer by a method."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankline.cli import completion
from rankline.cli.output import (
    DEFAULT_DATABASE,
    CsvOption,
    DatabaseOption,
    JsonOption,
    MethodsOption,
    NetworkOption,
    SeedOption,
    note,
    words,
    write_json,
    write_table,
)
from rankline.cli.present.table import Shown, part, share
from rankline.cli.windows import WhereOption, Windows, WithinOption, windows_of
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import FLOPS, FM, PARAMS
from rankline.src.dse.numbers import percent, spread_text

if TYPE_CHECKING:
    import pandas as pd

    from rankline.src.db.database import Database
    from rankline.src.db.queries.solution import Solution


MethodArgument = Annotated[
    str, typer.Argument(help="tucker, cp, tt, svd, spatial_svd, qr or t3f.", autocompletion=completion.method)
]
LayerArgument = Annotated[
    str, typer.Argument(help="Layer, as `rankline layers` lists it.", autocompletion=completion.layer)
]

PICK_COLUMNS = [
    "ranks",
    "shape",
    "params",
    "FM elements",
    "FLOPs",
    "memory (bytes)",
    "params saved",
    "FLOPs saved",
    "error",
    "of",
]
LEAST_IMPORTANT = ["memory (bytes)", "FM elements", "of", "FLOPs", "params"]
"""What a narrow terminal can do without: the reductions tell as much."""


def _finite(value: float | None) -> float | None:
    if value is not None and not isfinite(value):
        raise UserError(f"a level or a step is a fraction, such as 0.6; got {value}")
    return value


def query(
    layer: Annotated[
        str | None,
        typer.Argument(help="Layer; without it, the best of every layer.", autocompletion=completion.layer),
    ] = None,
    method: Annotated[
        str | None,
        typer.Argument(help="Method; without it, the best of every method.", autocompletion=completion.method),
    ] = None,
    db: DatabaseOption = DEFAULT_DATABASE,
    network: NetworkOption = None,
    where: WhereOption = None,
    at: Annotated[
        float | None, typer.Option(help="Reduction level of the objective, such as 0.6.", callback=_finite)
    ] = None,
    objective: Annotated[str, typer.Option(help="What --at and --steps are about.")] = "params",
    within: WithinOption = "useful",
    lowest: Annotated[str, typer.Option(help="What the best has least of: params, fm, flops or memory.")] = "flops",
    steps: Annotated[
        float | None, typer.Option(help="Count by levels of reduction this wide, such as 0.1.", callback=_finite)
    ] = None,
    random: Annotated[int, typer.Option(min=0, help="Also this many random configurations.")] = 0,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Count and pick configurations of a layer by a method; or find the best of every method, or of every layer.

    Example: [bold]rankline query conv2 tucker --where params_reduction=0.6:0.7[/bold]
    """
    from rankline.src.db.database import open_database

    database = open_database(db, create=False)
    windows = windows_of(where)
    if layer is None or method is None:
        if at is not None or steps is not None or random:
            raise typer.BadParameter("--at, --steps and --random need a LAYER and a METHOD")
        _best(database, network, layer, lowest, within, windows, as_json, as_csv)
        return
    solutions = database.solutions(layer, method, network).within(within)
    solutions = solutions.where(**windows)
    if at is not None:
        solutions = solutions.at(at, objective)
    if steps is not None:
        title = f"{layer} by {method}: {within} by {objective} reduction"
        _steps(solutions.steps(steps, objective), title, as_json, as_csv)
        return
    picks = solutions.picks()
    if solutions.errors is not None:
        picks["min_error"] = solutions.min_error()
    picks |= {f"random {j}": one for j, one in enumerate(solutions.random(random, seed), start=1)}
    counts = {
        "total": solutions.total(),
        "better": solutions.better(),
        "useful": solutions.useful(),
        "count": solutions.count(),
    }
    if as_json:
        write_json({**counts, "picks": {name: one.as_dict() for name, one in picks.items()}})
        return
    write_table(
        f"{layer} by {method}: {counts['count']:,} {within} configurations meet the windows "
        f"(of {counts['total']:,} in all, {counts['better']:,} better, {counts['useful']:,} useful)",
        ["pick", *PICK_COLUMNS],
        [[name, *_pick_row(one)] for name, one in picks.items()],
        least_important=LEAST_IMPORTANT,
        as_csv=as_csv,
    )
    _tell_of_errors(picks.values())


def pareto(
    layer: LayerArgument,
    methods: MethodsOption = None,
    cost: Annotated[
        list[str] | None, typer.Option(help="params, fm, flops or memory. May be repeated, for a front over several.")
    ] = None,
    db: DatabaseOption = DEFAULT_DATABASE,
    network: NetworkOption = None,
    where: WhereOption = None,
    within: WithinOption = "useful",
    points: Annotated[int, typer.Option(min=2, help="Rows of the table, evenly taken; --json, --csv: all.")] = 20,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """The front of error against cost over a layer's methods: the configurations that nothing beats.

    Example: [bold]rankline pareto conv2 --cost flops[/bold]
    """
    from rankline.src.db.database import open_database

    costs = list(dict.fromkeys(cost or ["params"]))
    names = words(methods, "--methods")
    database = open_database(db, create=False)
    front = database.pareto(layer, *costs, network=network, within=within, methods=names, **windows_of(where))
    if as_json:
        write_json([one.as_dict() for one in front])
        return
    shown = front
    if len(front) > points and not as_csv:
        shown = [front[j * (len(front) - 1) // (points - 1)] for j in range(points)]
    title = f"{layer}: {len(front):,} configurations that no other beats in error and {' and '.join(costs)}"
    if len(shown) < len(front):
        title += f"; {len(shown)} of them"
    write_table(
        title,
        ["method", *PICK_COLUMNS],
        [[one.method, *_pick_row(one)] for one in shown],
        least_important=LEAST_IMPORTANT,
        as_csv=as_csv,
    )
    _tell_of_errors(front)


def export(
    layer: LayerArgument,
    method: MethodArgument,
    out: Annotated[Path, typer.Argument(help="A .parquet, .csv or .jsonl file.")],
    db: DatabaseOption = DEFAULT_DATABASE,
    network: NetworkOption = None,
    where: WhereOption = None,
    within: WithinOption = "useful",
    limit: Annotated[int, typer.Option(help="Refuse to write more configurations.")] = 1_000_000,
    as_json: JsonOption = False,
) -> None:
    """Write every configuration that meets the windows to a file.

    Example: [bold]rankline export conv2 tucker conv2.csv --where params_reduction=0.6:0.7[/bold]
    """
    from rankline.src.db.database import open_database
    from rankline.src.db.export import export as run_export

    solutions = open_database(db, create=False).solutions(layer, method, network).within(within)
    solutions = solutions.where(**windows_of(where))
    count = run_export(solutions, out, limit, lambda count: note(f"{count:,} configurations meet the windows"))
    if as_json:
        write_json({"file": str(out), "configurations": count})
    else:
        note(f"wrote {count:,} configurations to {out}")


def _best(
    database: Database,
    network: str | None,
    layer: str | None,
    lowest: str,
    within: str,
    bounds: Windows,
    as_json: bool,
    as_csv: bool,
) -> None:
    from rankline.src.dse.network_cost import uncounted, uncounted_sentence

    if layer is not None:
        found = database.best_by_method(layer, lowest, network, within, **bounds)
        title, first = f"{layer}: each method's lowest {lowest}", "method"
    else:
        found = database.best(lowest, network, within, None, **bounds)
        title, first = f"the lowest {lowest} of each layer over all methods", "layer"
    chosen = {name: one for name, one in found.items() if one is not None}
    totals = None
    if layer is None:
        before, after = database.totals(chosen, network)
        totals = {one.name: (one.of(before), one.of(after)) for one in (PARAMS, FM, FLOPS)}
    unknown = uncounted(database.layer_shapes(network)) if layer is None else []
    if as_json:
        picks = {name: None if one is None else one.as_dict() for name, one in found.items()}
        known = {"totals": totals, "is_whole": not unknown, "uncounted": unknown}
        write_json({"best": picks, **({} if totals is None else known)})
        return
    rows = [
        [name, *([None] * (1 + len(PICK_COLUMNS)) if one is None else [one.method, *_pick_row(one)])]
        for name, one in found.items()
    ]
    columns = [first, "by", *PICK_COLUMNS]
    if layer is not None:
        rows, columns = [[row[0], *row[2:]] for row in rows], [first, *PICK_COLUMNS]
    write_table(title, columns, rows, least_important=LEAST_IMPORTANT, as_csv=as_csv)
    _tell_of_errors(found.values())
    if "error" in bounds and None in found.values():
        note("rows without a configuration: none is within the error, or its errors aren't known (explore --errors)")
    for metric, (was, now) in ({} if as_csv else totals or {}).items():
        saved = percent(1 - now / was if was else None)
        least = "at least " if unknown and metric != "params" else ""
        print(f"network's {metric}: {least}{was:,} before, {least}{now:,} with these ({saved} saved)")
    if unknown:
        note(uncounted_sentence(unknown))


def _steps(frame: pd.DataFrame, title: str, as_json: bool, as_csv: bool) -> None:
    rows = frame.to_dict(orient="records")
    if as_json:
        write_json(rows)
        return
    columns = ["reduction from", "configurations", "fewest FLOPs", "most FLOPs"]
    most = max((row["n"] for row in rows), default=0)
    body = [[share(row["level"]), part(row["n"], most), row["min_flops"], row["max_flops"]] for row in rows]
    write_table(title, columns, body, as_csv=as_csv)


def _pick_row(one: Solution) -> list[Any]:
    saved = [share(one.reduction(metric), bar=True) for metric in ("params", "flops")]
    errors = [None, None] if one.error is None else [_error(one), f"{one.error_of}, {one.certainty}"]
    return [" ".join(map(str, one.ranks)), one.shape, one.params, one.fm, one.flops, one.memory, *saved, *errors]


def _error(one: Solution) -> Shown:
    """The error, with what tells people that it is a bound or an estimate, and how far that may be off."""
    sign = {"bound": "<= ", "estimate": "~ "}.get(one.certainty or "", "")
    spread = spread_text(one.error_low, one.error_high) if one.certainty == "estimate" else ""
    return Shown(one.error, f"{sign}{percent(one.error)}{spread}")


def _tell_of_errors(shown: Iterable[Solution | None]) -> None:
    """Notes on what the errors of a table are, where that isn't plain."""
    known = [one for one in shown if one is not None and one.error is not None]
    if len({one.error_of for one in known}) > 1:
        note("some errors are of the weights, some of the outputs on calibration data: these don't compare")
    certainties = {one.certainty for one in known}
    if "bound" in certainties:
        note("<=: the error is at most that")
    if "estimate" in certainties:
        note("~: an estimate, which windows on the error use; in brackets: between what the true error lies")
