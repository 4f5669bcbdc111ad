"""``factorize``: layers decomposed by hand, without a database and without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankline.cli import completion
from rankline.cli.explore import ModelArgument
from rankline.cli.output import (
    CsvOption,
    InputShapeOption,
    JsonOption,
    note,
    sizes,
    tell_own_layers,
    tell_replaced,
    whole_numbers,
    write_json,
    write_table,
)
from rankline.cli.present.table import Shown, rounded, share
from rankline.cli.quiet import load_keras
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import FLOPS, FM, METRICS, PARAMS
from rankline.src.dse.network_cost import uncounted_sentence
from rankline.src.dse.numbers import change

if TYPE_CHECKING:
    from rankline.src.dse.cost import Cost
    from rankline.src.dse.plan import Plan

SHOWN = {"params": "params", "flops": "FLOPs"}


def factorize(
    model: ModelArgument,
    out: Annotated[Path, typer.Option(help="The .keras file to write.")],
    layer: Annotated[str | None, typer.Option(help="The layer, as `rankline layers` lists it.")] = None,
    method: Annotated[
        str | None, typer.Option(help="The method, such as tucker or svd.", autocompletion=completion.method)
    ] = None,
    ranks: Annotated[str | None, typer.Option(help="Its ranks, such as 8,16.")] = None,
    shape: Annotated[str | None, typer.Option(help="T3F's tensor shape, such as 4x8:8x4.")] = None,
    plan: Annotated[Path | None, typer.Option(help="A plan instead, as `rankline compress` writes it.")] = None,
    input_shape: InputShapeOption = None,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Decompose a layer of a trained model, or those of a plan, at ranks of your own.

    Example: [bold]rankline factorize lenet5.keras --layer conv2 --method tucker --ranks 3,8 --out small.keras[/bold]
    """
    from rankline.src.compress.model.destination import check_target
    from rankline.src.compress.model.planned import check_plan
    from rankline.src.dse.keras_model.source import check_model, load_model

    chosen = _plan(layer, method, ranks, shape, plan)
    given = sizes(input_shape)
    check_target(out)
    check_plan(chosen, check_model(model))
    tell_replaced(out)
    load_keras()
    from rankline.cli.present.progress import bar
    from rankline.src.compress.layers.own import own_layers
    from rankline.src.compress.model.by_hand import factorize_by_hand
    from rankline.src.compress.model.files import save_model

    with bar("layers", f"decomposing {len(chosen)} layer{'' if len(chosen) == 1 else 's'}") as progress:
        done = factorize_by_hand(load_model(model, given), chosen, given, progress)
        save_model(done.model, out)
    own = own_layers(done.model)
    if as_json:
        layers = [
            {
                "layer": one.layer,
                "method": one.configuration.method,
                "ranks": list(one.configuration.ranks),
                "shape": one.configuration.shape,
                "error": one.error,
                "growth": one.growth,
                **_before_and_after(one.before, one.after),
            }
            for one in done.layers
        ]
        totals = {
            **_before_and_after(done.before, done.after),
            "is_whole": done.after.is_whole,
            "uncounted": list(done.uncounted),
        }
        write_json({"file": str(out), "layers": layers, "model": totals, "own_layers": own})
        return
    by_cp = any(one.growth is not None for one in done.layers)
    rows = [
        [
            one.layer,
            str(one.configuration),
            share(one.error, bar=True),
            *([rounded(one.growth, 1)] if by_cp else []),
            *_changes(one.before, one.after),
        ]
        for one in done.layers
    ]
    whole = "whole model" if as_csv else FLOPS.titled("whole model", done.after)
    write_table(
        "1 layer factorized" if len(rows) == 1 else f"{len(rows)} layers factorized",
        [
            "layer",
            "by",
            "error",
            *(["growth"] if by_cp else []),
            *(f"{name} {when}" for name in SHOWN.values() for when in ("before", "now", "change")),
        ],
        [*rows, [whole, None, None, *([None] if by_cp else []), *_changes(done.before, done.after)]],
        least_important=[f"{name} before" for name in SHOWN.values()],
        as_csv=as_csv,
    )
    if done.uncounted:
        note(uncounted_sentence(done.uncounted))
    tell_own_layers(own)
    note(f"wrote {out}")


def _plan(layer: str | None, method: str | None, ranks: str | None, shape: str | None, plan: Path | None) -> Plan:
    from rankline.src.dse.configuration import Configuration
    from rankline.src.dse.plan import read_plan

    by_hand = (layer, method, ranks)
    if plan is not None and not any((*by_hand, shape)):
        return read_plan(plan)
    if plan is not None or layer is None or method is None or ranks is None:
        raise UserError("give --layer, --method and --ranks, or a --plan alone")
    return {layer: Configuration(method, whole_numbers(ranks, "--ranks"), shape)}


def _before_and_after(before: Cost, after: Cost) -> dict[str, Any]:
    return {one.name: {"before": one.of(before), "after": one.of(after)} for one in (PARAMS, FM, FLOPS)}


def _changes(before: Cost, after: Cost) -> list[Any]:
    pairs = [(METRICS[name].of(before), METRICS[name].of(after)) for name in SHOWN]
    return [value for was, now in pairs for value in (was, now, _change(was, now))]


def _change(was: int, now: int) -> Shown | None:
    return Shown(now / was - 1, change(1 - now / was)) if was else None
