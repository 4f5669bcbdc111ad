"""Windows on configurations: the options that ask for them, as numbers that a query takes."""

from __future__ import annotations

from typing import Annotated

import typer

from rankline.cli import completion

WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Window METRIC=LOW:HIGH, either end may be open; METRIC is params, fm, flops, memory (bytes), one "
        "of these with _reduction (a fraction), or error (relative, such as :0.05). May be repeated.",
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
