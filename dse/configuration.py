"""A configuration: one way to factorize a layer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Configuration:
    """A method's name as in ``dse.methods``, its ranks, and T3F's tensor shape (None for other methods)."""

    method: str
    ranks: tuple[int, ...]
    shape: str | None = None

    def __str__(self) -> str:
        """For example ``tucker 3x8``, followed by the tensor shape if there is one."""
        return f"{self.method} {'x'.join(map(str, self.ranks))} {self.shape or ''}".rstrip()

    @property
    def order(self) -> tuple[tuple[int, ...], str]:
        """Sort key for configurations of equal cost: ranks in lexicographic order, then shape."""
        return self.ranks, self.shape or ""
