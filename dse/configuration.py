"""A configuration: one way to factorize a layer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Configuration:
    """A method's name as in ``dse.methods``, its ranks, and T3F's tensor shape (None for the others)."""

    method: str
    ranks: tuple[int, ...]
    shape: str | None = None

    def __str__(self) -> str:
        """As in ``tucker 3x8``, with T3F's tensor shape behind it."""
        return f"{self.method} {'x'.join(map(str, self.ranks))} {self.shape or ''}".rstrip()

    @property
    def order(self) -> tuple[tuple[int, ...], str]:
        """What decides among configurations of equal costs: ranks in lexicographic order, then shape."""
        return self.ranks, self.shape or ""
