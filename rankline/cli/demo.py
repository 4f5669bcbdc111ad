"""``demo``: the main job end to end on real handwritten digits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankline.cli.output import CsvOption, JsonOption, SeedOption, note, write_json
from rankline.cli.quiet import load_keras
from rankline.src.dse.numbers import points


def demo(
    folder: Annotated[Path, typer.Argument(help="Folder for the files it writes.")] = Path("demo"),
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
) -> None:
    """Train LeNet-5 on real digits, explore it, compress it, and write a report.

    Example: [bold]rankline demo[/bold]
    """
    from rankline.src.compress.runs.settings import Settings

    aim = Settings()
    note(f"fewest {aim.objective} with at most {points(aim.max_drop).lstrip('+')} of validation accuracy lost")
    load_keras()
    from rankline.cli.present.summary import RUNTIME_KEY, call_summary, summary, tell_call, write_summary
    from rankline.demo import run_demo

    made = run_demo(folder, seed)
    found, times = summary(made.compression), call_summary(made.compression)
    for name, time in times.items():
        found[name][RUNTIME_KEY] = time
    if as_json:
        write_json(found)
        return
    write_summary(found, as_csv)
    tell_call(times)
    note(f"model    {made.compressed}   (before: {made.original})")
    note(f"report   {made.report}")
    note(f"database {made.database}")
    note(f"next     rankline query conv2 tucker --db {made.database} --where params_reduction=0.6:0.7")
