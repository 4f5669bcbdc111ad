"""Worker processes that outlive neither their parent nor Ctrl-C. Imports nothing heavy: it is a worker's first act."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import sleep

PERIOD = 0.5
"""Seconds between two looks at whether the parent still lives."""


def end_with(parent: int) -> None:
    """Ends this process within a second of its parent's end, even by kill -9. parent: its process id."""

    def watch() -> None:
        while os.getppid() == parent:
            sleep(PERIOD)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


@contextmanager
def deaf_to_the_terminal() -> Iterator[None]:
    """Processes started within never hear Ctrl-C or the end of a terminal, which reach their parent as well: it ends
    them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
