"""The speed of an older commit and of this one, by the same benchmark: python -m benchmarks.against_commit REV.

Each round runs the module in a clone of the commit and in this tree, each in a process of its own. Of every figure in
seconds the least of the rounds counts (other work only makes a round slower); the ratio is new to old.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.record import record

ROOT = Path(__file__).parents[1]

MODULES = {"lines": ["--loop-share", "0.002", "--windows", "60"], "zoo": ["--windows", "30"]}
"""Benchmarks and their arguments; the plain Python loop is the same on both sides, so little of it will do."""

TIME = re.compile(r"(?<!max)(?<!configurations_per)_s(_median_of_\d+)?$")
"""What the name of a time in seconds ends in."""

PEERS = ("numpy", "python_loop", "duckdb", "ratios")
"""Parts of a result that are not ours."""


def figures(found: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """The times in seconds of a result, by their path; the largest of many queries says little."""
    if isinstance(found, dict):
        for name, value in found.items():
            if name not in PEERS:
                yield from figures(value, f"{path}/{name}".lstrip("/"))
    elif isinstance(found, float) and TIME.search(path):
        yield path, found


def run(tree: Path, module: str) -> dict[str, float]:
    """The figures of a benchmark in a tree."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, "-m", f"benchmarks.{module}", *MODULES[module]]
    subprocess.run(command, cwd=tree, env=environment, check=True, stdout=subprocess.DEVNULL)
    return dict(figures(json.loads((tree / "benchmarks" / "results" / f"{module}.json").read_text(encoding="utf-8"))))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rev")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--modules", nargs="+", default=list(MODULES))
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        trees = {"old": Path(folder) / "old", "new": Path(folder) / "new"}
        for name, rev in (("old", options.rev), ("new", "HEAD")):
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(trees[name])], check=True)
            subprocess.run(["git", "checkout", "--quiet", rev], cwd=trees[name], check=True)
        found: dict[str, Any] = {}
        for module in options.modules:
            rounds = [{name: run(tree, module) for name, tree in trees.items()} for _ in range(options.rounds)]
            for path in rounds[0]["new"].keys() & rounds[0]["old"].keys():
                old, new = (min(one[name][path] for one in rounds) for name in ("old", "new"))
                found[f"{module}: {path}"] = {"old_s": old, "new_s": new, "new / old": new / old}
    found = dict(sorted(found.items()))
    versions = ("numpy", "numba", "sqlalchemy")
    print(record("against_commit", 0, versions, {"rev": options.rev, "rounds": options.rounds, "figures": found}))
    for path, one in found.items():
        print(f"{path}: {one['old_s']:.4f} s, now {one['new_s']:.4f} s, ratio {one['new / old']:.3f}")


if __name__ == "__main__":
    main()
