"""``rankline serve`` in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NotServedError(Exception):
    """What the command said instead of an address."""


@contextmanager
def served(path: Path, *options: str) -> Iterator[str]:
    """The address of the explorer of a database, without a slash at its end. Raises NotServedError."""
    command = [sys.executable, "-m", "rankline", "serve", "--db", str(path), "--port", "0", *options]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    told: list[str] = []
    try:
        for line in server.stderr:
            told.append(line)
            if "explore at " in line:
                yield line.split("explore at ")[1].split()[0].rstrip("/")
                break
        else:
            raise NotServedError("".join(told))
    finally:
        server.terminate()
        code = server.wait(timeout=30)
    assert code == 128 + signal.SIGTERM, "".join(told)
