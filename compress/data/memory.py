"""How much memory is free."""

from __future__ import annotations

import re
from pathlib import Path


def available_bytes() -> int | None:
    """Bytes of memory that programs can still use; None if the system doesn't say."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    return None if found is None else 1024 * int(found[1])
