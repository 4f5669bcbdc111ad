"""``study``: the tables and figures of the literature, computed anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rankline.cli import completion
from rankline.cli.output import DEFAULT_DATABASE, DatabaseOption, JsonOption, note, write_json
from rankline.cli.present.study import show_tables
from rankline.cli.study_precision import precision
from rankline.cli.windows import tell_only_device

ZOO = "zoo"


class _ZooUnlessNamed(TyperGroup):
    """The studies, of which that of the zoo is meant where none is named."""

    def parse_args(self, context: Any, args: list[str]) -> list[str]:
        named = context.resilient_parsing or (args and args[0] in (*self.commands, *context.help_option_names))
        return super().parse_args(context, args if named else [ZOO, *args])


app = typer.Typer(
    cls=_ZooUnlessNamed,
    no_args_is_help=True,
    help="Study the zoo's design space (without a name), or factorization and precision of a trained model.\n\n"
    "Example: [bold]rankline study study --db zoo.db[/bold]",
)


@app.command(ZOO)
def zoo(
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

    The word zoo may be left out, unless the folder is called zoo or precision.

    Example: [bold]rankline study zoo study --db zoo.db[/bold]
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
    show_tables(done.tables())
    note(f"wrote {len(written)} files into {folder}; look at {written[-1]}")


app.command("precision")(precision)
