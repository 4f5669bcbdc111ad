"""Processes: which one made something, and whether it is still there."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

_ENDED = "ZX"
"""States in which Linux lists a process that has ended."""


@dataclass(frozen=True)
class Process:
    """A process; started: in clock ticks since the machine was, so that a number in use again is told apart."""

    host: str
    pid: int
    started: int | None = None

    @property
    def is_gone(self) -> bool:
        """Whether it has ended. False for a process of another host, of which nothing can be told."""
        if self.host != this_host():
            return False
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except PermissionError:
            pass  # another user's
        state, started = _listed(self.pid)
        return state in _ENDED or (started is not None and self.started is not None and started != self.started)

    def as_dict(self) -> dict[str, str | int | None]:
        """The fields as plain values."""
        return asdict(self)


def this_process() -> Process:
    """The process that asks."""
    return Process(this_host(), os.getpid(), _listed(os.getpid())[1])


@cache
def this_host() -> str:
    """The name of this host; in a container, also which processes can be seen from there."""
    try:
        return f"{platform.node()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return platform.node()


def _listed(pid: int) -> tuple[str, int | None]:
    """State and start of a process as Linux lists them; ("?", None) where they can't be read. Source: proc(5)."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return after_name[0], int(after_name[19])
    except (OSError, IndexError, ValueError):
        return "?", None
