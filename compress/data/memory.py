"""How much memory is free."""

from __future__ import annotations

import ctypes
import re
import resource
import sys
from contextlib import suppress
from pathlib import Path

M_MMAP_THRESHOLD = -3
"""The number of that parameter in glibc's malloc.h."""

MAPPED_BYTES = 2**20

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


def give_back_large_blocks() -> None:
    """Has freed arrays of MAPPED_BYTES or more go back to the system at once; only with glibc, else nothing happens.

    By default glibc keeps blocks of up to 32 MiB once some were freed (mallopt(3)); on wide layers, a tenth of the peak
    is made of them.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)
