"""How much processor time passes before a program that imports Rankline goes on, a question to a database is answered,
and a mistake is told.

Each is a fresh process, user and system time of all its threads; the median of several. ``earlier`` in the result is
the commit before formulas, kernels and checks were loaded only where they are needed, each once: ``--earlier CHECKOUT``
measures it anew, else it stays as it was recorded. Other work on the cores makes all of these larger.
Run: python -m benchmarks.start_up
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.record import RESULTS, record

HERE = Path(__file__).parent.parent
PACKAGES = ("keras", "tensorflow", "sqlalchemy", "numpy", "sympy", "numba", "typer", "rich")

LIMITS = {"import": 0.3, "question": 0.8, "mistake": 0.5}
"""The most seconds that were set as a goal."""

QUESTIONS = ("layers", "query conv2 tucker --where params_reduction=0.6:0.7")
MISTAKES = (
    "compress absent.keras --data digits --out small.keras",
    "compress zoo:lenet --data digits --out small.keras",
    "compress app:ResNet51 --data digits --out small.keras",
    "compress absent_nets:net --data digits --out small.keras",
    "compress net.keras --data digit --out small.keras",
    "compress net.keras --data digits --out absent/small.keras",
    "compress net.keras --data digits --out small.keras --conv-method tuker",
    "compress net.keras --data digits --out small.keras --include con",
    "compress net.keras --data digits --out small.keras --db absent/x.db",
    "compress net.keras --data digits --out small.keras --db text.db",
    "compress --resume 7 --db demo.db",
    "budget absent.keras --calibrate digits --out small.keras --keep-flops 0.5",
    "budget net.keras --calibrate digit --out small.keras --keep-flops 0.5",
    "budget net.keras --calibrate digits --out small.keras --keep-flops 0.5 --methods tuker",
    "budget net.keras --calibrate digits --out small.keras --keep-flops 0.5 --include con",
    "budget net.h5 --calibrate digits --out small.keras --keep-flops 0.5 --include con",
    "factorize absent.keras --layer conv2 --method svd --ranks 2 --out small.keras",
    "factorize net.keras --layer con --method svd --ranks 2 --out small.keras",
    "factorize net.keras --layer conv2 --method qr --ranks 2 --out small.keras",
    "factorize net.keras --plan absent.json --out small.keras",
    "explore absent.keras",
    "explore net.keras --methods tuker",
    "explore net.keras --calibrate digit",
    "explore net.keras --db absent/x.db",
)


def processor_seconds(arguments: list[str], checkout: Path, folder: Path, code: int) -> float:
    """User and system time of one process in ``folder`` that takes Rankline from ``checkout``."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != code:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measured(checkout: Path, folder: Path, repeats: int) -> dict[str, Any]:
    """Median seconds of the import, of every question and of every mistake."""
    runs = {
        "import": {"import rankline": (["-c", "import rankline"], 0)},
        "question": {one: (["-m", "rankline", *one.split(), "--db", "demo.db"], 0) for one in QUESTIONS},
        "mistake": {one: (["-m", "rankline", *one.split()], 2) for one in MISTAKES},
    }
    return {
        kind: {
            name: round(median(processor_seconds(given, checkout, folder, code) for _ in range(repeats)), 3)
            for name, (given, code) in some.items()
        }
        for kind, some in runs.items()
    }


def prepare(folder: Path) -> None:
    """LeNet-5 as files and in a database, and a text file."""
    make = "from rankline.src.dse.zoo import build; net = build('lenet5'); net.save('net.keras'); net.save('net.h5')"
    processor_seconds(["-c", make], HERE, folder, 0)
    processor_seconds(["-m", "rankline", "explore", "net.keras", "--db", "demo.db"], HERE, folder, 0)
    (folder / "text.db").write_text("no database\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--earlier", type=Path, help="A checkout of an earlier commit, measured once.")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder)
        found = measured(HERE, folder, options.repeats)
        figures = {
            "seconds": "processor time, user and system, median",
            "repeats": options.repeats,
            "goals": LIMITS,
            "largest": {kind: max(some.values()) for kind, some in found.items()},
            "now": found,
        }
        if options.earlier is not None:
            figures["earlier"] = measured(options.earlier.absolute(), folder, 1)
        elif (old := RESULTS / "start_up.json").exists():
            figures["earlier"] = json.loads(old.read_text(encoding="utf-8"))["earlier"]
    print(record("start_up", 0, PACKAGES, figures))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
