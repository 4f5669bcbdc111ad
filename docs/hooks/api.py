"""The reference of the Python API: each public name, and each class that comes back from one.

Docstrings are read by griffe, as text, so that nothing heavy is loaded.
"""

from __future__ import annotations

from pathlib import Path

import griffe

import rankline

ROOT = Path(__file__).parents[2]


def reference() -> str:
    """A section for each public name, in the order of ``rankline._HOMES``, then the classes that they return."""
    homes = {f"rankline.{name}": ".".join(home) for name, home in rankline._HOMES.items()}
    parts = [_entry(name, name) for name in homes]
    parts.append("## What they return\n\nYou get these from the functions above, and need not make any yourself.")
    parts += [_entry(home, home.rpartition(".")[2], 3) for home in returned(list(homes.values()))]
    return "\n\n".join(parts)


def returned(homes: list[str]) -> list[str]:
    """The paths of Rankline's classes that these functions and classes return, and what those classes return again."""
    package = griffe.load("rankline", search_paths=[ROOT])
    found = dict.fromkeys(homes)
    for home in (reached := list(homes)):
        one = package[home.removeprefix("rankline.")]
        for path in _answers(one):
            if path not in found and package[path.removeprefix("rankline.")].is_class:
                found[path] = None
                reached.append(path)
    return [path for path in found if path not in homes]


def _answers(one: griffe.Object | griffe.Alias) -> list[str]:
    """What of Rankline's a function returns, or a class: by its methods, or in its fields where it has none."""
    members = [one.members[name] for name in one.members if name[0] != "_"] if one.is_class else [one]
    told = [member for member in members if member.is_function] or members
    annotations = [member.returns if member.is_function else getattr(member, "annotation", None) for member in told]
    names = [name for text in annotations if isinstance(text, griffe.Expr) for name in text.iterate(flat=True)]
    paths = [name.canonical_path for name in names if isinstance(name, griffe.ExprName)]
    return [path for path in paths if path.startswith("rankline.src.")]


def _entry(path: str, name: str, level: int = 2) -> str:
    options = {"heading": name, "toc_label": name, "heading_level": level}
    told = "".join(f"\n      {option}: {value}" for option, value in options.items())
    return f"::: {path}\n    options:{told}"
