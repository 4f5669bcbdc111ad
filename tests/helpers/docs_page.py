"""A page of docs/ as what a reader would do with it: commands to type and Python to run, in order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
BLOCK = re.compile(r"^```(?P<language>console|python)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """Python text, or a command without its ``$``; output: what the page shows of it, empty where it shows nothing."""

    language: str
    text: str
    output: str = ""


def steps(page: str) -> list[Step]:
    """What a page has to run."""
    found = []
    for block in BLOCK.finditer((DOCS / page).read_text(encoding="utf-8")):
        if block["language"] == "python":
            found.append(Step("python", block["text"]))
            continue
        for one in re.split(r"^\$ ", block["text"], flags=re.MULTILINE)[1:]:
            command, _, output = one.partition("\n")
            found.append(Step("console", command, output))
    return found


def is_ours(command: str) -> bool:
    """Whether a command is Rankline's, perhaps with variables of the environment before it."""
    return re.match(r"(?:[A-Z_]+=\S+ )*rankline\b", command) is not None
