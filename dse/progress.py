"""Reporting the progress of long work."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with a label, the amount done so far, and the total (0 if unknown)."""


def no_progress(label: str, done: int, total: int) -> None:
    """Reports nothing."""
