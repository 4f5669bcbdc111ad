"""How much memory is free."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

CONTAINER = Path("/sys/fs/cgroup")


def available_bytes() -> int | None:
    """Bytes of memory that programs can still use, in this container if it has a limit; None if the system doesn't
    say."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    free = [] if found is None else [1024 * int(found[1])]
    try:
        limit = (CONTAINER / "memory.max").read_text().strip()
        if limit.isdigit():
            cache = re.search(r"^inactive_file (\d+)", (CONTAINER / "memory.stat").read_text(), re.MULTILINE)
            used = int((CONTAINER / "memory.current").read_text()) - (0 if cache is None else int(cache[1]))
            free.append(max(0, int(limit) - used))
    except (OSError, ValueError):
        pass
    return min(free, default=None)


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
