"""``study``: the tables and figures of the design-space literature, computed anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankline.cli import completion
from rankline.cli.output import DEFAULT_DATABASE, DatabaseOption, JsonOption, note, write_json, write_table
from rankline.cli.windows import tell_only_device


def study(
    folder: Annotated[Path, typer.Argument(help="Folder for the files it writes.")] = Path("study"),
    db: DatabaseOption = DEFAULT_DATABASE,
    table: Annotated[str, typer.Option(help="counts, steps, constraints, scores, latency or all.")] = "all",
    step: Annotated[float, typer.Option(help="Width of a level of params reduction, a fraction.")] = 0.1,
    device: Annotated[
        str | None,
        typer.Option(
            help="Device on which methods are compared; not needed where there is one.",
            autocompletion=completion.device,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the design-space literature's tables and figures, from the zoo's database: CSV, LaTeX and a page.

    Example: [bold]rankline study study --db zoo.db[/bold]
    """
    from time import perf_counter

    from rankline.cli.present.progress import bar
    from rankline.src.reports.study.files import write_study
    from rankline.src.reports.study.study import study as run_study

    with bar("spaces") as progress:
        done = run_study(db, table, step, perf_counter, progress, device=device)
    written = write_study(done, folder)
    if as_json:
        missing = list(done.studied.missing) if done.studied else []
        tables = {one.name: one.as_dict() for one in done.tables()}
        named = {} if done.device is None else {"device": done.device.name}
        write_json({**named, "tables": tables, "missing": missing, "files": [str(path) for path in written]})
        return
    if done.device is not None and device is None:
        tell_only_device(done.device)
    told: set[str] = set()
    for one in done.tables():
        write_table(one.title, [column.title for column in one.columns], one.texts())
        for line in one.notes:
            if line not in told:
                note(line)
        told.update(one.notes)
    note(f"wrote {len(written)} files into {folder}; look at {written[-1]}")
