"""Results that come row by row over hours: each is on file when it is made, in the place of an older one of its key."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.record import RESULTS, record


def keep(name: str, row: dict[str, Any], key: Sequence[str], seed: int, packages: tuple[str, ...]) -> None:
    """Puts a row into ``results/NAME.json`` and prints it; rows of the same ``key`` fields are replaced."""
    print(row, flush=True)
    old = RESULTS / f"{name}.json"
    rows = json.loads(old.read_text(encoding="utf-8"))["rows"] if old.exists() else []
    rows = [one for one in rows if any(one.get(field) != row.get(field) for field in key)] + [row]
    record(name, seed, packages, {"rows": rows})
