"""Being told to end, by Ctrl-C or another signal."""

from __future__ import annotations


class Interruption(KeyboardInterrupt):
    """A signal has told the process to end.

    ``taken``: whether it was caught on purpose, by work that ends with what it has; it is not raised again then.
    """

    taken = False


def take(error: KeyboardInterrupt) -> None:
    """Says that an interruption was caught on purpose, and that what follows ends in order."""
    if isinstance(error, Interruption):
        error.taken = True
