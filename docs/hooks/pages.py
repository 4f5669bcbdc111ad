"""What the pages take from the program at build time: formulas, counts, the references, and files of the checkout.

A line ``{{ name arguments }}`` of a page is replaced by what the function of that name in ``PARTS`` writes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PART = re.compile(r"^\{\{ (\w+)(?: ([^}]+?))? \}\}$", re.MULTILINE)
INNER_LINK = re.compile(r"!?\[([^\]]+)\]\((?!https?:|#)[^)]+\)")

sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import api  # noqa: E402
import commands  # noqa: E402
import formulas  # noqa: E402


def file(path: str) -> str:
    """A Markdown file of the checkout without its title, and links to other files as their text alone."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return INNER_LINK.sub(r"\1", re.sub(r"\A# .*\n", "", text))


PARTS: dict[str, Callable[..., str]] = {
    "api": api.reference,
    "commands": commands.reference,
    "costs": formulas.costs,
    "counts": formulas.counts,
    "file": file,
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs with the text of every page."""
    return PART.sub(lambda found: PARTS[found[1]](*(found[2] or "").split()), markdown)
