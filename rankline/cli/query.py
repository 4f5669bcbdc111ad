"""``query`` and ``export``: counts, picks and lists of the configurations of a layer by a method."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rankline.cli import completion
from rankline.cli.output import (
    DEFAULT_DATABASE,
    CsvOption,
    DatabaseOption,
    DeviceOption,
    JsonOption,
    MethodsOption,
    NetworkOption,
    SeedOption,
    note,
    warnings_as_notes,
    words,
    write_json,
    write_table,
)
from rankline.cli.present.picks import LEAST_IMPORTANT, pick_columns, pick_row, tell_of_errors
from rankline.cli.present.table import part, share
from rankline.cli.windows import WhereOption, Windows, WithinOption, device_of, windows_of
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import FLOPS, FM, LATENCY, METRICS, PARAMS
from rankline.src.dse.numbers import percent

if TYPE_CHECKING:
    import pandas as pd

    from rankline.src.db.database import Database
    from rankline.src.dse.devices.device import Device


MethodArgument = Annotated[
    str, typer.Argument(help="tucker, cp, tt, svd, spatial_svd, qr or t3f.", autocompletion=completion.method)
]
LayerArgument = Annotated[
    str, typer.Argument(help="Layer, as `rankline layers` lists it.", autocompletion=completion.layer)
]


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
    device: DeviceOption = None,
    where: WhereOption = None,
    at: Annotated[
        float | None, typer.Option(help="Reduction level of the objective, such as 0.6.", callback=_finite)
    ] = None,
    objective: Annotated[str, typer.Option(help="What --at and --steps are about.")] = "params",
    within: WithinOption = "useful",
    lowest: Annotated[
        str, typer.Option(help="What the best has least of: params, fm, flops, memory or latency.")
    ] = "flops",
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
        timed = device_of(database, device, [*windows, lowest])
        _best(database, network, layer, lowest, within, windows, timed, as_json, as_csv)
        return
    timed = device_of(database, device, [*windows, objective])
    solutions = database.solutions(layer, method, network, timed).within(within)
    solutions = solutions.where(**windows)
    if at is not None:
        solutions = solutions.at(at, objective)
    if steps is not None:
        title = f"{layer} by {method}{_on(timed)}: {within} by {objective} reduction"
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
        named = {} if timed is None else {"device": timed.name}
        write_json({**counts, **named, "picks": {name: one.as_dict() for name, one in picks.items()}})
        return
    outside = not as_csv and "equal_rank" in picks and not solutions.meet(picks["equal_rank"])
    labels = {"equal_rank": "equal_rank *"} if outside else {}
    write_table(
        f"{layer} by {method}{_on(timed)}: {counts['count']:,} {within} configurations meet the windows "
        f"(of {counts['total']:,} in all, {counts['better']:,} better, {counts['useful']:,} useful)",
        ["pick", *pick_columns(timed is not None, as_csv)],
        [[labels.get(name, name), *pick_row(one)] for name, one in picks.items()],
        least_important=LEAST_IMPORTANT,
        as_csv=as_csv,
    )
    if outside:
        note("*: of those with equal ranks the nearest to the window's level, but outside the windows")
    tell_of_errors(picks.values())


def pareto(
    layer: LayerArgument,
    methods: MethodsOption = None,
    cost: Annotated[
        list[str] | None,
        typer.Option(help="params, fm, flops, memory or latency. May be repeated, for a front over several."),
    ] = None,
    db: DatabaseOption = DEFAULT_DATABASE,
    network: NetworkOption = None,
    device: DeviceOption = None,
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
    from rankline.src.db.queries.across_methods import LeftOutWarning

    costs = list(dict.fromkeys(cost or ["params"]))
    names = words(methods, "--methods")
    database = open_database(db, create=False)
    windows = windows_of(where)
    timed = device_of(database, device, [*windows, *costs])
    with warnings_as_notes(LeftOutWarning):
        front = database.pareto(layer, *costs, network=network, within=within, methods=names, device=timed, **windows)
    if as_json:
        write_json([one.as_dict() for one in front])
        return
    shown = front
    if len(front) > points and not as_csv:
        shown = [front[j * (len(front) - 1) // (points - 1)] for j in range(points)]
    title = f"{layer}{_on(timed)}: {len(front):,} configurations that no other beats in error and {' and '.join(costs)}"
    if len(shown) < len(front):
        title += f"; {len(shown)} of them"
    write_table(
        title,
        ["method", *pick_columns(timed is not None, as_csv)],
        [[one.method, *pick_row(one)] for one in shown],
        least_important=LEAST_IMPORTANT,
        as_csv=as_csv,
    )
    tell_of_errors(front)


def export(
    layer: LayerArgument,
    method: MethodArgument,
    out: Annotated[Path, typer.Argument(help="A .parquet, .csv or .jsonl file.")],
    db: DatabaseOption = DEFAULT_DATABASE,
    network: NetworkOption = None,
    device: DeviceOption = None,
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

    database, windows = open_database(db, create=False), windows_of(where)
    timed = device_of(database, device, windows)
    solutions = database.solutions(layer, method, network, timed).within(within).where(**windows)
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
    timed: Device | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    from rankline.src.db.queries.across_methods import LeftOutWarning
    from rankline.src.dse.devices.network import network_latency
    from rankline.src.dse.network_cost import uncounted, uncounted_sentence

    totals = None
    with warnings_as_notes(LeftOutWarning):
        if layer is not None:
            found = database.best_by_method(layer, lowest, network, within, device=timed, **bounds)
            title, first = f"{layer}{_on(timed)}: each method's lowest {lowest}", "method"
        else:
            found = database.best(lowest, network, within, None, device=timed, **bounds)
            title, first = f"the lowest {lowest} of each layer over all methods{_on(timed)}", "layer"
            chosen = {name: one for name, one in found.items() if one is not None}
            before, after = database.totals(chosen, network, timed)
            known = [one for one in (PARAMS, FM, FLOPS, LATENCY) if one.is_known(before)]
            totals = {one.name: (one.of(before), one.of(after)) for one in known}
    layers = database.layer_shapes(network) if layer is None else []
    unknown, untimed = uncounted(layers), network_latency(timed.model, layers)[1] if timed is not None else []
    if as_json:
        picks = {name: None if one is None else one.as_dict() for name, one in found.items()}
        named = {} if timed is None else {"device": timed.name}
        sums = {"totals": _named_totals(totals), "is_whole": not unknown, "uncounted": unknown} if totals else {}
        without = {"without_latency": untimed} if totals and timed is not None else {}
        write_json({**named, "best": picks, **sums, **without})
        return
    columns = pick_columns(timed is not None, as_csv)
    rows = [
        [name, *([None] * (1 + len(columns)) if one is None else [one.method, *pick_row(one)])]
        for name, one in found.items()
    ]
    columns = [first, "by", *columns]
    if layer is not None:
        rows, columns = [[row[0], *row[2:]] for row in rows], [first, *columns[2:]]
    write_table(title, columns, rows, least_important=LEAST_IMPORTANT, as_csv=as_csv)
    tell_of_errors(found.values())
    if "error" in bounds and None in found.values():
        note("rows without a configuration: none is within the error, or its errors aren't known (explore --errors)")
    for metric, (was, now) in ({} if as_csv else totals or {}).items():
        saved = percent(1 - now / was if was else None)
        lacking = {"params": [], "latency": untimed}.get(metric, unknown)
        least, text = "at least " if lacking else "", METRICS[metric].text
        print(f"network's {metric}: {least}{text(was)} before, {least}{text(now)} with these ({saved} saved)")
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


def _on(timed: Device | None) -> str:
    return "" if timed is None else f" on {timed.name}"


def _named_totals(totals: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """With the unit in the name of a latency."""
    return {"latency_ps" if name == "latency" else name: pair for name, pair in totals.items()}
