"""Where a measurement was made, and its file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

RESULTS = Path(__file__).parent / "results"


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall seconds of several calls."""
    times = []
    for _ in range(repeats):
        started = perf_counter()
        work()
        times.append(perf_counter() - started)
    return median(times)


def kept_parts(name: str, parts: tuple[str, ...], without: list[str]) -> dict[str, Any]:
    """The last results of those parts of a benchmark that are not measured now, each with its own date."""
    path = RESULTS / f"{name}.json"
    last = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {part: last[part] for part in parts if part in last and part not in without}


def now() -> str:
    """The date and time, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def record(name: str, seed: int, packages: tuple[str, ...], figures: dict[str, Any]) -> Path:
    """Writes ``results/NAME.json`` with the figures, the date, versions, seed and machine; returns its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    content = {
        "benchmark": name,
        "date": now(),
        "machine": {"cores": os.cpu_count(), "architecture": platform.machine(), "python": platform.python_version()},
        "versions": {package: version(package) for package in packages},
        "seed": seed,
        **figures,
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path
