"""``bench``: the measurements behind what is claimed."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from rankline.src.dse.errors import UserError, one_of

NAMES = ("lines", "scan", "zoo", "decompositions", "activation_aware", "compression", "budget", "explorer")


def bench(
    names: Annotated[list[str] | None, typer.Argument(help=f"Some of {', '.join(NAMES)}; all by default.")] = None,
) -> None:
    """Run benchmarks of a checkout; each writes its result to benchmarks/results.

    Example: [bold]rankline bench scan[/bold]
    """
    for name in names or []:
        if name not in NAMES:
            raise one_of("benchmark", name, list(NAMES))
    if not (Path.cwd() / "benchmarks" / "record.py").exists():
        raise UserError(f"there are no benchmarks in {Path.cwd()}; run this in a checkout of Rankline")
    sys.path.insert(0, str(Path.cwd()))
    for name in names or NAMES:
        import_module(f"benchmarks.{name}").main([])
