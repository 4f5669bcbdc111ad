"""``device``: the devices on record, their numbers, and files of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rankline.cli import completion
from rankline.cli.output import (
    DEFAULT_DATABASE,
    CsvOption,
    DatabaseOption,
    JsonOption,
    note,
    write_json,
    write_table,
)
from rankline.cli.present.table import rounded, share
from rankline.cli.quiet import load_keras
from rankline.cli.windows import tell_versions
from rankline.src.dse.errors import UserError

if TYPE_CHECKING:
    from rankline.src.db.database import Database
    from rankline.src.dse.devices.device import Device

app = typer.Typer(
    help="What devices take for operations: list, show, export, import and remove them.\n\n"
    "Example: [bold]rankline device list[/bold]",
    no_args_is_help=True,
)

DeviceArgument = Annotated[str, typer.Argument(help="The name of a device.", autocompletion=completion.device)]

UNITS = {"each": 1e6, "mac": 1.0, "input": 1.0, "output": 1.0, "weight": 1.0}
"""Picoseconds in the unit that each of a kind's numbers is shown in."""

COLUMNS = ("operation", "each (µs)", "MAC (ps)", "input (ps)", "output (ps)", "weight (ps)")


@app.command("list")
def list_devices(db: DatabaseOption = DEFAULT_DATABASE, as_json: JsonOption = False, as_csv: CsvOption = False) -> None:
    """List the devices, and how well their numbers predict what they were not fitted to.

    Example: [bold]rankline device list[/bold]
    """
    found = _open(db).devices()
    if as_json:
        left_out = ("format", "measured")
        write_json([{key: value for key, value in one.as_dict().items() if key not in left_out} for one in found])
        return
    columns = [
        "name", "runtime", "version", "precision", "threads", "batch", "half within", "90 % within", "machine",
        "measured at",
    ]  # fmt: skip
    rows = [
        [
            one.name,
            one.runtime,
            one.version,
            one.precision,
            one.threads,
            one.batch,
            share(one.fit.median),
            share(one.fit.p90),
            one.machine,
            one.measured_at,
        ]
        for one in found
    ]
    title = f"{len(found)} device{'' if len(found) == 1 else 's'}"
    write_table(title, columns, rows, least_important=["machine", "measured at", "batch"], as_csv=as_csv)
    if not found:
        note("measure one with: rankline device add NAME --runtime litert")
    tell_versions(found)


@app.command()
def show(
    device: DeviceArgument,
    figure: Annotated[
        Path | None,
        typer.Option(help="Also draw predicted against measured times: .html, .svg, .png or .pdf.", metavar="FILE"),
    ] = None,
    db: DatabaseOption = DEFAULT_DATABASE,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Show a device: how it runs, and what it takes for each kind of operation.

    Example: [bold]rankline device show laptop --figure laptop.html[/bold]
    """
    from rankline.src.dse.devices.latency import TERMS

    if figure is not None:
        from rankline.src.reports.report.device import check_device_figure, write_device_figure

        check_device_figure(figure)
    found = _open(db).device(device)
    if figure is not None:
        write_device_figure(found, figure)
    if as_json:
        write_json(found.as_dict())
    else:
        if not as_csv:
            write_table(found.title, ["", "value"], _facts(found), drop_empty=False)
        rows = [
            [kind, *(rounded(one / UNITS[term], 3) for one, term in zip(numbers, TERMS, strict=True))]
            for kind, numbers in found.model.numbers
        ]
        write_table("its numbers", COLUMNS, rows, as_csv=as_csv)
    if figure is not None:
        note(f"wrote {figure}")
    tell_versions([found])


@app.command()
def export(
    device: DeviceArgument,
    out: Annotated[Path, typer.Argument(help="A .json file, with the device's numbers and measurements.")],
    db: DatabaseOption = DEFAULT_DATABASE,
    as_json: JsonOption = False,
) -> None:
    """Write a device to a file, for another database.

    Example: [bold]rankline device export laptop laptop.json[/bold]
    """
    from rankline.src.dse.devices.device import write_device

    if out.suffix != ".json":
        raise UserError(f"a device is exported as .json; got '{out.name}'")
    found = _open(db).device(device)
    write_device(found, out)
    if as_json:
        write_json({"device": found.name, "file": str(out)})
    else:
        note(f"wrote device {found.name} with {len(found.measured)} measurements to {out}")


@app.command("import")
def import_device(
    file: Annotated[
        Path,
        typer.Argument(
            help="A .json file that `rankline device export` made, or the folder of a bundle with the result.json that "
            "its run.py wrote."
        ),
    ],
    name: Annotated[str | None, typer.Option(help="Name in the database; that in the file by default.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the device of that name, if any.")] = False,
    db: DatabaseOption = DEFAULT_DATABASE,
    as_json: JsonOption = False,
) -> None:
    """Add a device from a file, with the latencies of everything explored.

    Example: [bold]rankline device import laptop.json --name office[/bold]
    """
    from rankline.src.dse.devices.device import read_device

    if file.is_dir():
        load_keras()
        from rankline.src.compress.deploy.bundle import device_of_result

        found = device_of_result(name or file.resolve().name, file)
    else:
        found = read_device(file)
        found = found if name is None else found.renamed(name)
    from rankline.src.db.database import open_database

    open_database(db).save_device(found, replace)
    if as_json:
        write_json({"device": found.name, "database": db})
    else:
        note(f"added device {found.name} to {db}")
        tell_versions([found])


@app.command()
def remove(device: DeviceArgument, db: DatabaseOption = DEFAULT_DATABASE, as_json: JsonOption = False) -> None:
    """Remove a device, and what is known of latencies on it.

    Example: [bold]rankline device remove laptop[/bold]
    """
    _open(db).remove_device(device)
    if as_json:
        write_json({"device": device, "database": db})
    else:
        note(f"removed device {device} from {db}")


def _open(db: str) -> Database:
    from rankline.src.db.database import open_database

    return open_database(db, create=False)


def _facts(one: Device) -> list[list[Any]]:
    fit = one.fit
    padded = "; ranks are padded to whole tiles" if one.model.pads else ""
    return [
        ["machine", one.machine],
        ["measured at", one.measured_at],
        ["measurements", f"{len(one.measured):,}"],
        ["half predicted within", f"{share(fit.median)}, of {fit.count:,} that its numbers were not fitted to"],
        ["90 % predicted within", str(share(fit.p90))],
        ["tile", f"{one.model.tile:,} channels{padded}"],
        ["a call", f"{one.model.call / 1e6:,.3f} µs, whatever it runs"],
    ]
