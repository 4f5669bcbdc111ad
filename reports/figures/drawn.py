"""A figure with its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Drawn:
    """A figure; ``name``: its id on a page; ``label``: what it shows; ``of``: the layer that it is about, if any;
    ``same_as``: the name of an earlier equal figure, whose data a page can share."""

    name: str
    label: str
    figure: go.Figure
    of: str = ""
    same_as: str = ""
