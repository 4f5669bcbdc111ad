"""Where a query found a configuration, before it is dressed as a ``Solution``."""

from __future__ import annotations

from typing import NamedTuple

from rankline.src.dse.formula import Cost


class Place(NamedTuple):
    """One configuration: its tensor shape (None but for T3F), ranks and cost."""

    shape: str | None
    ranks: tuple[int, ...]
    cost: Cost

    @property
    def order(self) -> tuple[int, int, tuple[int, ...], str]:
        """What decides among equals: fewer params, fewer FM, ranks in lexicographic order, shape."""
        return self.cost.params, self.cost.fm, self.ranks, self.shape or ""
