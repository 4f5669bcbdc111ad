"""A configuration found by a query, before it becomes a ``Solution``."""

from __future__ import annotations

from typing import NamedTuple

from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost


class Place(NamedTuple):
    """One configuration and its cost."""

    configuration: Configuration
    cost: Cost

    @property
    def order(self) -> tuple[int, int, tuple[int, ...], str]:
        """Sort key for breaking ties: fewer params, fewer FM, ranks in lexicographic order, shape."""
        return self.cost.params, self.cost.fm, *self.configuration.order
