"""``report``: one HTML file to look at and to send."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankline.cli.output import (
    DEFAULT_DATABASE,
    DatabaseOption,
    JsonOption,
    NetworkOption,
    SeedOption,
    note,
    write_json,
)


def report(
    out: Annotated[Path, typer.Argument(help="The HTML file to write.")] = Path("report.html"),
    db: DatabaseOption = DEFAULT_DATABASE,
    network: NetworkOption = None,
    run: Annotated[int | None, typer.Option(help="Run to show; the network's latest by default.")] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Write a self-contained HTML report of a network and its latest run.

    Example: [bold]rankline report lenet5.html[/bold]
    """
    from db.database import open_database
    from reports.html import write_report

    written = write_report(open_database(db, create=False), out, network=network, run=run, seed=seed)
    if as_json:
        write_json({"file": str(written)})
    else:
        note(f"wrote {written}")
