"""Figures as image files, drawn by Kaleido with the machine's own Chrome or Chromium; nothing is downloaded."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.whole_file import make_folder, whole_file
from rankline.src.reports.figures.palette import PAPER

if TYPE_CHECKING:
    from rankline.src.reports.figures.drawn import Drawn

FORMATS = ("svg", "png", "pdf")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

WIDTH, DENSITY = 900, 2
"""The width of a picture in CSS pixels, and the dots of a PNG per CSS pixel."""


@dataclass(frozen=True)
class Picture:
    """A file, and a label of what it shows."""

    path: Path
    label: str


def write_images(figures: Sequence[Drawn], folder: Path, form: str) -> list[Picture]:
    """Writes each figure atomically into ``folder``, created if need be, as svg, png or pdf.

    Raises UserError as ``check_images`` does, and if the browser fails or the folder can't be written.
    """
    browser = check_images(form)
    pictures = [Picture(folder / f"{file_stem(one)}.{form}", one.label) for one in figures]
    make_folder(folder)
    with ExitStack() as files:
        drafts = [files.enter_context(whole_file(one.path)) for one in pictures]
        _draw([_order(one, path, form) for one, path in zip(figures, drafts, strict=True)], browser)
    return pictures


def write_image(one: Drawn, path: Path) -> None:
    """Writes a figure atomically as svg, png or pdf, by the file's ending. Raises UserError as ``write_images``."""
    form = path.suffix.removeprefix(".")
    browser = check_images(form)
    with whole_file(path) as draft:
        _draw([_order(one, draft, form)], browser)


def check_images(form: str) -> str:
    """The path of the browser that draws: Chrome or Chromium, from BROWSER_PATH, else from PATH.

    Raises UserError without one, without Kaleido, and for a format that is not in ``FORMATS``.
    """
    if form not in FORMATS:
        raise one_of("image format", form, list(FORMATS))
    try:
        import kaleido  # noqa: F401
    except ImportError:
        raise UserError("pictures need Kaleido; install it with: pip install 'rankline[images]'") from None
    given = os.environ.get("BROWSER_PATH")
    found = next((path for name in ([given] if given else BROWSERS) if (path := shutil.which(name))), None)
    if found is None:
        raise UserError(
            f"pictures need Chrome or Chromium, and {given or 'none of ' + ', '.join(BROWSERS)} is installed; install "
            "one, or name its program in the environment variable BROWSER_PATH"
        )
    return found


def file_stem(one: Drawn) -> str:
    """The figure's name with that of its layer, reduced to characters that file names can have."""
    layer = re.sub(r"[^A-Za-z0-9_.-]+", "-", one.of).strip("-.")[:40]
    return f"{one.name}-{layer}" if layer else one.name


def _order(one: Drawn, path: Path, form: str) -> dict[str, Any]:
    """The arguments for Kaleido; the background is white, because a picture may be used anywhere."""
    import plotly.graph_objects as go

    figure = go.Figure(one.figure).update_layout(paper_bgcolor=PAPER)
    options = {"format": form, "width": WIDTH, "height": figure.layout.height, "scale": DENSITY if form == "png" else 1}
    return {"fig": figure, "path": path, "opts": options}


def _draw(orders: Sequence[dict[str, Any]], browser: str) -> None:
    import kaleido

    # Without MathJax, which would be loaded from the network; plotly.js comes with the Python package.
    try:
        kaleido.write_fig_from_object_sync(list(orders), kopts={"path": browser, "mathjax": False})
    except RuntimeError as error:  # raised by Kaleido if the browser doesn't start
        raise UserError(
            f"{browser} could not draw the pictures; name another Chrome or Chromium in the environment variable "
            "BROWSER_PATH"
        ) from error
