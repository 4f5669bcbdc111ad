"""The choice of the precision at which the page reads memory, and what depends on it alone."""

from __future__ import annotations

from dataclasses import replace

from dash import dcc, html

from rankline.src.dse.cost import Cost
from rankline.src.dse.metric import MEMORY, PARAMS
from rankline.src.dse.numbers import si
from rankline.src.dse.precision import ELEMENT_BYTES
from rankline.src.reports.explorer.answers import Percents
from rankline.src.reports.explorer.controls import group, range_text

WEIGHTS = {
    f"weights at {name} (bytes)": replace(PARAMS, bytes_per_element=size) for name, size in ELEMENT_BYTES.items()
}
"""The bytes of weights at each precision, by their titles."""


def precision_choice(precision: str) -> html.Fieldset:
    """The choice among ``ELEMENT_BYTES``."""
    return group("precision of memory", dcc.RadioItems(list(ELEMENT_BYTES), precision, id="precision", inline=True))


def memory_range(kept: Percents, layer: Cost, precision: str) -> str:
    """A window on memory in words, with what it is a share of: ``up to 40 % (the layer: 394 kB at f32)``."""
    whole = MEMORY.at(ELEMENT_BYTES[precision]).of(layer)
    return f"{range_text(*kept)} (the layer: {si(whole, 'B')} at {precision})"
