"""``device add`` and ``device bundle``: operations timed on this machine, or packed to be timed on another."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankline.cli.output import DEFAULT_DATABASE, DatabaseOption, JsonOption, SeedOption, note, write_json
from rankline.cli.quiet import load_keras
from rankline.src.dse.errors import UserError

if TYPE_CHECKING:
    from rankline.src.compress.deploy.measure import Measurements
    from rankline.src.dse.devices.device import Device

ThreadsOption = Annotated[int, typer.Option(min=1, help="Threads that the runtime computes with.")]
BatchOption = Annotated[int, typer.Option(min=1, help="Samples in a call.")]
PrecisionOption = Annotated[
    str, typer.Option(help="What the models are written in: f32, f16, int8, int8-dynamic or int8-weights.")
]
QuickOption = Annotated[bool, typer.Option("--quick", help="Fewer operations: quicker, and less exact.")]


def add(
    name: Annotated[str, typer.Argument(help="What to call the device, such as laptop.")],
    runtime: Annotated[str, typer.Option(help="What runs the models: litert, onnx or keras.")] = "litert",
    threads: ThreadsOption = 1,
    batch: BatchOption = 1,
    precision: PrecisionOption = "f32",
    quick: QuickOption = False,
    force: Annotated[bool, typer.Option("--force", help="Also on a machine that is busy with other work.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="In the place of a device of that name.")] = False,
    seed: SeedOption = 0,
    db: DatabaseOption = DEFAULT_DATABASE,
    as_json: JsonOption = False,
) -> None:
    """Measure this machine: how long operations take in a runtime, so that latency can be predicted.

    Example: [bold]rankline device add laptop --runtime litert --db space.db[/bold]
    """
    from rankline.src.db.database import open_database

    began = perf_counter()
    database = open_database(db)
    if not replace and name in [one.name for one in database.devices()]:
        raise UserError(f"{db} has a device '{name}' already; choose another name, or --replace it")
    load_keras()
    from rankline.cli.present.progress import bar
    from rankline.src.compress.deploy import runtimes
    from rankline.src.compress.deploy.measure import add_device
    from rankline.src.compress.deploy.runtime import Calls

    calls = Calls(threads, batch, precision)
    with bar("operations") as progress:
        device, found = add_device(name, runtimes.get(runtime), calls, quick, force, seed, progress)
    database.save_device(device, replace=replace)
    seconds = perf_counter() - began
    if as_json:
        write_json({**_facts(device, found), "seconds": round(seconds, 1)})
    else:
        _tell(device, found, seconds)


def bundle(
    folder: Annotated[Path, typer.Argument(help="The folder to write.", metavar="DIR")],
    threads: ThreadsOption = 1,
    batch: BatchOption = 1,
    precision: PrecisionOption = "f32",
    quick: QuickOption = False,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Pack the operations, to be timed by LiteRT on a phone or a board where Rankline is not installed.

    Example: [bold]rankline device bundle operations[/bold]
    """
    load_keras()
    from rankline.cli.present.progress import bar
    from rankline.src.compress.deploy.bundle import MANIFEST, RESULT, RUNNER, write_bundle
    from rankline.src.compress.deploy.runtime import Calls

    calls = Calls(threads, batch, precision)
    with bar("operations") as progress:
        manifest = write_bundle(folder, calls=calls, quick=quick, seed=seed, progress=progress)
    if as_json:
        write_json({key: value for key, value in manifest.items() if key != "chains"} | {"folder": str(folder)})
        return
    _tell_left_out(manifest["left_out"])
    note(
        f"wrote {folder}: {len(manifest['chains'])} operations, {MANIFEST}, and {RUNNER}, which needs NumPy and LiteRT"
    )
    note(
        f"copy it to the device, run there: python {RUNNER}; bring {RESULT} back and import it: rankline device import"
    )


def _facts(device: Device, found: Measurements) -> dict[str, Any]:
    facts = {key: value for key, value in device.as_dict().items() if key not in ("numbers", "measured", "call")}
    return {**facts, "operations": len(device.measured), "spread": found.spread, "left_out": list(found.left_out)}


def _tell(device: Device, found: Measurements, seconds: float) -> None:
    _tell_left_out(found.left_out)
    note(f"{device.title}: {len(device.measured)} operations measured in {seconds:.0f} s")
    tile = device.model.tile
    note("channels are counted one by one" if tile == 1 else f"its kernels work in tiles of {tile} channels")
    fit = device.fit
    note(f"predicts operations that it has not seen within {fit.median:.1%} (median), {fit.p90:.1%} (90th percentile)")


def _tell_left_out(forms: list[str] | tuple[str, ...]) -> None:
    if forms:
        note(f"left out, because the runtime can't convert them: {', '.join(forms)}")
