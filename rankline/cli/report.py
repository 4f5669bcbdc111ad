"""``report``: one file to look at and to send, its figures as pictures, and a page of benchmark results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rankline.cli import completion
from rankline.cli.output import (
    DEFAULT_DATABASE,
    DatabaseOption,
    JsonOption,
    NetworkOption,
    SeedOption,
    note,
    write_json,
)
from rankline.src.dse.errors import UserError


def report(
    out: Annotated[
        Path, typer.Argument(help="The file to write: .html; .md or .tex, tables; or .csv, a row a layer.")
    ] = Path("report.html"),
    db: DatabaseOption = DEFAULT_DATABASE,
    network: NetworkOption = None,
    run: Annotated[int | None, typer.Option(help="Run to show; the network's latest by default.")] = None,
    device: Annotated[
        str | None,
        typer.Option(help="The device to tell latencies of; all by default.", autocompletion=completion.device),
    ] = None,
    seed: SeedOption = 0,
    images: Annotated[
        Path | None, typer.Option(help="Also write every figure as a picture into this folder.", metavar="FOLDER")
    ] = None,
    image_format: Annotated[str, typer.Option(help="svg, png or pdf.")] = "svg",
    benchmarks: Annotated[
        Path | None,
        typer.Option(help="Instead, a page of the results that `rankline bench` left in a folder.", metavar="FOLDER"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a self-contained HTML report of a network and its latest run; or Markdown, LaTeX or CSV.

    Example: [bold]rankline report lenet5.html[/bold]
    """
    if benchmarks is not None:
        from rankline.src.reports.report.benchmarks import write_benchmarks

        if any(one is not None for one in (images, network, run, device)):
            raise UserError("--benchmarks makes a page of its own; leave out --network, --run, --device and --images")
        _tell(write_benchmarks(benchmarks, out), [], as_json)
        return
    from rankline.src.db.database import open_database
    from rankline.src.reports.figures.images import check_images, write_images
    from rankline.src.reports.report.content import content
    from rankline.src.reports.report.formats import write_as, writer_for

    writer_for(out)  # before the work
    if images is not None:
        check_images(image_format)
    found = content(open_database(db, create=False), network, run, seed, device)
    pictures = [] if images is None else write_images(found.figures(), images, image_format)
    _tell(write_as(out, found, pictures), [one.path for one in pictures], as_json)


def _tell(written: Path, pictures: list[Path], as_json: bool) -> None:
    if as_json:
        write_json({"file": str(written), **({"images": [str(path) for path in pictures]} if pictures else {})})
        return
    note(f"wrote {written}")
    if pictures:
        note(f"wrote {len(pictures)} pictures into {pictures[0].parent}")
