"""Windows on configurations: the options that ask for them, as numbers that a query takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from rankline.cli import completion
from rankline.cli.output import note
from rankline.src.dse.metric import METRICS, REDUCTION

if TYPE_CHECKING:
    from rankline.src.db.database import Database
    from rankline.src.dse.devices.device import Device

WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Window METRIC=LOW:HIGH, either end may be open; METRIC is params, fm, flops, memory (bytes), latency "
        "(with its unit, such as :200us), one of these with _reduction (a fraction), or error (relative, such as "
        ":0.05). May be repeated.",
        metavar="WINDOW",
    ),
]
WithinOption = Annotated[
    str,
    typer.Option(
        help="all, better or useful configurations.", autocompletion=completion.among("all", "better", "useful")
    ),
]

Windows = dict[str, tuple[str | None, str | None]]


def windows_of(texts: list[str] | None) -> Windows:
    """Name and bounds of each ``name=low:high``. Raises typer.BadParameter."""
    found: Windows = {}
    for text in texts or []:
        name, equals, bounds = text.partition("=")
        low, colon, high = bounds.partition(":")
        if not equals or not colon:
            raise typer.BadParameter(f"a window is METRIC=LOW:HIGH, such as params_reduction=0.6:0.7; got '{text}'")
        if name in found:
            raise typer.BadParameter(f"there are two windows on {name}; give one")
        found[name] = low or None, high or None
    return found


def device_of(database: Database, name: str | None, asked: Iterable[str]) -> Device | None:
    """The device of that name; without one, if a metric or window that is asked for needs a device, the only one that
    the database has, with a note. Raises UserError."""
    metrics = [METRICS.get(one.removesuffix(REDUCTION)) for one in asked]
    if name is None and not any(metric is not None and metric.needs_device for metric in metrics):
        return None
    device = database.device(name)
    if name is None:
        tell_only_device(device)
    tell_versions([device])
    return device


def tell_only_device(device: Device) -> None:
    """A line about a device that was taken without being named."""
    note(f"latencies are those on {device.title}, the only device of the database")


def tell_versions(devices: Iterable[Device]) -> None:
    """A line for each device whose runtime has another version here."""
    from rankline.src.dse.devices.version import other_version

    for one in devices:
        if told := other_version(one):
            note(told)


def device_named(db: str, name: str | None, asked: Iterable[str]) -> str | None:
    """The name of that device of a database that need not exist yet, before the work. Raises UserError."""
    from rankline.src.db.database import open_database

    if name is None and not any(metric in METRICS and METRICS[metric].needs_device for metric in asked):
        return None
    database = open_database(db)
    # Raises where the database is still to be created, which ``close`` would do.
    found = device_of(database, name, asked)
    database.close()
    return None if found is None else found.name
