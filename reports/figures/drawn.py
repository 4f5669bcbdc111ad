"""A figure with its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Drawn:
    """``name`` is its id on a page; ``label`` says what it shows; ``of`` is the layer that it is about, if any.

    ``same_as`` is the name of an equal figure before it, whose data a page can share.
    """

    name: str
    label: str
    figure: go.Figure
    of: str = ""
    same_as: str = ""
