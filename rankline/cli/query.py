"""``query``: counts and picks among all configurations of a layer by a method."""

from __future__ import annotations

from typing import Annotated

import typer

from rankline.cli.output import (
    DEFAULT_DATABASE,
    DatabaseOption,
    JsonOption,
    NetworkOption,
    write_json,
    write_table,
)
from reports.numbers import percent


def query(
    layer: Annotated[str, typer.Argument(help="Layer, as `rankline layers` lists it.")],
    method: Annotated[str, typer.Argument(help="tucker, cp, tt, svd, spatial_svd, qr or t3f.")],
    db: DatabaseOption = DEFAULT_DATABASE,
    network: NetworkOption = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Window METRIC=LOW:HIGH, either end may be open; METRIC is params, fm, flops, memory (bytes), or one "
            "of these with _reduction (a fraction). May be repeated.",
            metavar="WINDOW",
        ),
    ] = None,
    at: Annotated[float | None, typer.Option(help="Reduction level of the objective, such as 0.6.")] = None,
    objective: Annotated[str, typer.Option(help="What --at is about: params, fm, flops or memory.")] = "params",
    within: Annotated[str, typer.Option(help="all, better or useful configurations.")] = "useful",
    random: Annotated[int, typer.Option(help="Also this many random configurations.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the random ones.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Count and pick configurations of a layer by a method.

    Example: [bold]rankline query conv2 tucker --where params_reduction=0.6:0.7[/bold]
    """
    from db.database import open_database

    solutions = open_database(db, create=False).solutions(layer, method, network).within(within)
    for text in where or []:
        name, bounds = _window(text)
        solutions = solutions.where(**{name: bounds})
    if at is not None:
        solutions = solutions.at(at, objective)
    picks = solutions.picks()
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
        ["pick", "ranks", "shape", "params", "FM elements", "FLOPs", "memory (bytes)", "params saved", "FLOPs saved"],
        [
            [
                name,
                " ".join(map(str, one.ranks)),
                one.shape,
                one.params,
                one.fm,
                one.flops,
                one.memory,
                percent(one.reduction("params")),
                percent(one.reduction("flops")),
            ]
            for name, one in picks.items()
        ],
    )


def _window(text: str) -> tuple[str, tuple[str | None, str | None]]:
    """name and bounds of ``name=low:high``."""
    name, equals, bounds = text.partition("=")
    low, colon, high = bounds.partition(":")
    if not equals or not colon:
        raise typer.BadParameter(f"a window is METRIC=LOW:HIGH, such as params_reduction=0.6:0.7; got '{text}'")
    return name, (low or None, high or None)
