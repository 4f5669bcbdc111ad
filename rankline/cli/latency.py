"""``latency``: what a model takes on a device, predicted layer by layer, and measured as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankline.cli.explore import ModelArgument
from rankline.cli.output import (
    DEFAULT_DATABASE,
    CsvOption,
    DatabaseOption,
    DeviceOption,
    InputShapeOption,
    JsonOption,
    note,
    sizes,
    write_json,
)
from rankline.cli.quiet import load_keras
from rankline.cli.windows import device_of
from rankline.src.dse.errors import UserError
from rankline.src.dse.metric import LATENCY

if TYPE_CHECKING:
    import keras

    from rankline.src.compress.deploy.prediction import Prediction
    from rankline.src.dse.devices.device import Device
    from rankline.src.dse.plan import Plan


def latency(
    model: ModelArgument,
    device: DeviceOption = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="A plan to apply, or the one that MODEL was made by; otherwise the one beside MODEL."),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Also run the whole model, if the device is this machine.")
    ] = False,
    input_shape: InputShapeOption = None,
    db: DatabaseOption = DEFAULT_DATABASE,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Predict what each layer of a model takes on a device, and the whole of it, and measure that.

    Example: [bold]rankline latency lenet5.keras --device laptop[/bold]
    """
    from rankline.src.db.database import open_database
    from rankline.src.dse.keras_model.source import check_model, load_model
    from rankline.src.dse.plan import read_plan

    given = sizes(input_shape)
    check_model(model)
    asked = None if plan is None else read_plan(plan)
    database = open_database(db)
    used = device_of(database, device, [LATENCY.name])
    database.close()
    assert used is not None
    load_keras()
    from rankline.src.compress.deploy.latency import check_machine

    if measure:
        check_machine(used)
    from rankline.cli.present.latency import prediction_values, write_prediction
    from rankline.src.compress.deploy.prediction import predict

    loaded = load_model(model, given)
    applied = asked
    if asked is None:
        applied, found = _predicted_beside(model, loaded, used, given)
    else:
        found = predict(loaded, used, asked, given)
    values = prediction_values(found, loaded.name)
    if measure:
        values["measured"] = _measured(loaded, applied or {}, found)
    if as_json:
        write_json(values)
    else:
        write_prediction(values, as_csv)


def _predicted_beside(
    model: str, loaded: keras.Model, device: Device, given: tuple[int, ...] | None
) -> tuple[Plan | None, Prediction]:
    """The prediction by the plan beside a model's file, if there is one and it is about the model's layers; and that
    plan."""
    from rankline.src.compress.deploy.prediction import predict
    from rankline.src.dse.plan import read_plan

    path = Path(model).with_suffix(".plan.json")
    if Path(model).suffix == ".keras" and path.is_file():
        try:
            plan = read_plan(path)
            found = predict(loaded, device, plan, given)
            note(f"by the plan beside it, {path}")
            return plan, found
        except UserError as error:
            note(f"without the plan beside it: {error}")
    return None, predict(loaded, device, None, given)


def _measured(model: keras.Model, plan: Plan, found: Prediction) -> dict[str, Any]:
    """The times of the model, factorized by the plan if that is about its layers, and then of the original too."""
    from rankline.cli.present.progress import bar
    from rankline.src.compress.deploy.latency import latencies
    from rankline.src.compress.model.surgery import factorize

    with bar("", "measuring") as progress:
        models = {"latency": model}
        if found.is_planned:
            named = {one.layer for one in found.layers if one.original is not None}
            chosen = {path: choice for path, choice in plan.items() if path in named}
            models = {"latency": factorize(model, chosen, progress=progress), "original": model}
        times = latencies(models, found.device, progress)
    predicted = {"latency": found.whole, "original": found.original}
    return {
        name: {
            "minimum_ps": one.minimum,
            "median_ps": one.median,
            "spread": one.spread,
            "calls": one.calls,
            "predicted_over_measured": predicted[name] / one.minimum,
        }
        for name, one in times.items()
    }
