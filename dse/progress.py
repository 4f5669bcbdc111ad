"""How who waits for long work is told how far it has come."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Is called with what is counted, how much of it is done, and how much there is in all (0: that isn't known)."""


def no_progress(label: str, done: int, total: int) -> None:
    """For who needn't be told."""
