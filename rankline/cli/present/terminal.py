"""What the terminal can show: encoding, colours and bars."""

from __future__ import annotations

import codecs
import os
import sys
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

PLAIN = {"–": "-", "−": "-", "→": "->", "…": "...", "─": "-", "≤": "<="}
"""Replacements for characters that an encoding lacks."""

EIGHTHS = " ▏▎▍▌▋▊▉█"

BAR_WIDTH = 8
"""Characters of a whole bar."""


def settle_streams() -> None:
    """Makes sure that any text can be written to standard output and error.

    A stream that was closed before the start is sent to the null device, with its file descriptor. In an encoding that
    isn't Unicode, missing characters are replaced by PLAIN ones and escapes.
    """
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            if nowhere != descriptor:
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
            setattr(sys, name, open(descriptor, "w", encoding="utf-8"))  # noqa: SIM115
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):  # Unicode lacks lone surrogates alone
            stream.reconfigure(errors="backslashreplace" if is_unicode(stream.encoding) else "rankline-plain")


def is_unicode(encoding: str | None) -> bool:
    """Whether an encoding can represent every character."""
    return encoding is not None and codecs.lookup(encoding).name.startswith("utf")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    rest = error.object[error.start : error.end]
    return "".join(PLAIN.get(one, one.encode("ascii", "backslashreplace").decode()) for one in rest), error.end


codecs.register_error("rankline-plain", _plain)


def leave_out_colours() -> None:
    """Turns off colours from here on, as with NO_COLOR in the environment, in help and errors too."""
    import typer.rich_utils

    os.environ["NO_COLOR"] = "1"
    typer.rich_utils.COLOR_SYSTEM = None  # without it, help would still be bold


def has_colours() -> bool:
    """Whether colours are wanted (https://no-color.org)."""
    return not os.environ.get("NO_COLOR")


def console(stderr: bool = False, width: int | None = None) -> Console:
    """A console on standard output or error, without escape codes if it isn't a terminal or colours are off."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    on_terminal = stream.isatty()
    colours: Literal["auto"] | None = "auto" if on_terminal and has_colours() else None
    return Console(stderr=stderr, width=width, color_system=colours, force_terminal=on_terminal)


def bar_of(share: float, encoding: str | None = "utf-8") -> str:
    """A share from 0 to 1 as a bar of at most BAR_WIDTH characters, in block characters or, without Unicode, ``#``.

    Any share above 0 is visible.
    """
    share = min(1.0, max(0.0, share))
    if not is_unicode(encoding):
        return "#" * max(int(share > 0), round(BAR_WIDTH * share))
    whole, rest = divmod(max(int(share > 0), round(8 * BAR_WIDTH * share)), 8)
    return EIGHTHS[8] * whole + (EIGHTHS[rest] if rest else "")
