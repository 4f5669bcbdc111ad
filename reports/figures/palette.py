"""The colour, symbol and dash of each method, the same in every figure.

Colours are Okabe and Ito's, which colour-blind people can distinguish, without yellow and black, which vanish on
paper and on a dark screen; symbols and dashes distinguish the methods without colour.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """``colour`` as #rrggbb; ``symbol`` and ``dash`` as plotly names them."""

    colour: str
    symbol: str
    dash: str = "solid"

    def faded(self, opacity: float) -> str:
        """The colour as CSS rgba text, at an opacity from 0 to 1."""
        red, green, blue = (int(self.colour[j : j + 2], 16) for j in (1, 3, 5))
        return f"rgba({red},{green},{blue},{opacity})"


LOOKS = {
    "tucker": Look("#0072B2", "circle"),
    "cp": Look("#E69F00", "square"),
    "tt": Look("#009E73", "diamond"),
    "svd": Look("#D55E00", "triangle-up"),
    "spatial_svd": Look("#8C8C8C", "triangle-down"),
    "qr": Look("#CC79A7", "x", "dash"),
    "t3f": Look("#56B4E9", "pentagon"),
}

QUANTIZED = Look("#8A6FD1", "star-square")
PRUNED = Look("#C2477A", "hourglass")
"""Originals that are made smaller without a factorization."""

OTHER = Look("#8C8C8C", "hexagon", "dot")

INK = "#444444"
"""Text and outlines on a light background; the report's style sheet recolours text on a dark one."""

PAPER = "#FFFFFF"

SOFT = "#8C8C8C"
"""Buttons and other unobtrusive parts."""

GRID = "rgba(128,128,128,0.25)"

REGION = "rgba(128,128,128,0.13)"


def look(method: str) -> Look:
    """The look of a method; a neutral one if it has none."""
    return LOOKS.get(method, OTHER)
