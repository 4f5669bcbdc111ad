"""Random devices, and every configuration with its latency on one."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import strategies as st

from rankline.src.dse.devices.latency import TERMS, LatencyModel
from rankline.src.dse.devices.operations import KINDS, chain_operations, original_operations
from rankline.src.dse.layer import Layer
from rankline.src.dse.options import Options
from rankline.src.dse.symbols import layer_shape
from tests.helpers import brute

ENDINGS = ("", ", few inputs", ", odd channels", ", few inputs, odd channels")


def model_of(seed: int, tile: int = 4, pads: bool = False, terms: tuple[str, ...] = TERMS) -> LatencyModel:
    """Whole numbers for every kind of operation; zero for terms that aren't named, and for some of those that are."""
    draw = random.Random(seed)

    def number(term: str) -> float:
        return float(term in terms and draw.choice((0, 1, 1)) * draw.randrange(1, 100))

    kinds = [before + kind + after for before in ("", "3-D ") for kind in KINDS for after in ENDINGS]
    numbers = tuple((kind, (float(draw.randrange(1, 10**4)), *map(number, TERMS[1:]))) for kind in kinds)
    return LatencyModel("made up", tile, pads, draw.randrange(10**4), numbers)


models = st.builds(
    model_of,
    seed=st.integers(0, 10**6),
    tile=st.sampled_from([1, 2, 3, 4, 8]),
    pads=st.booleans(),
    terms=st.sampled_from([TERMS, ("each",), ("output",), ("input",), ("mac", "weight")]),
)
"""Models of which some have the same latency for many ranks."""


def original_latency(layer: Layer, model: LatencyModel) -> int:
    return model.polynomial(original_operations(layer_shape(layer))).at(())


def configurations(
    layer: Layer, method: str, model: LatencyModel, options: Options | None = None
) -> list[brute.Configuration]:
    """Every configuration; its cost includes the latency, which is worked out at its ranks alone."""
    shape, found, known = layer_shape(layer), [], {}
    for one in brute.configurations(layer, method, options):
        if one.shape not in known:
            known[one.shape] = model.polynomial(chain_operations(shape, method, len(one.ranks), one.shape))
        found.append(replace(one, cost=replace(one.cost, latency=known[one.shape].at(one.ranks))))
    return found
