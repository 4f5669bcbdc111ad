"""A fit recovers the numbers that measurements were made with, and the tile."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from rankline.src.dse import methods
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.devices.device import Measured
from rankline.src.dse.devices.fitting import FEWEST, fitted
from rankline.src.dse.devices.latency import LatencyModel
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import Layer, conv
from rankline.src.dse.options import Options
from rankline.src.dse.symbols import layer_shape

CALL = 4_000_000

NUMBERS = (
    ("along axis", (2e6, 45.0, 900.0, 700.0, 30.0)),
    ("convolution", (1e6, 30.0, 800.0, 600.0, 20.0)),
    ("pointwise", (5e5, 40.0, 300.0, 500.0, 10.0)),
)
"""Picoseconds of each operation, MAC, element read, element made, and weight."""


def chains(count: int, seed: int) -> Iterator[tuple[Layer, Configuration | None]]:
    """Layers of many sizes, as they are and by methods whose operations are in NUMBERS."""
    draw = random.Random(seed)
    for number in range(count):
        size, stride = draw.choice([4, 8, 16, 32]), draw.choice([1, 2])
        kernel = draw.choice([(3, 3), (5, 5), (1, 7)])
        layer = conv(f"c{number}", kernel, draw.randint(3, 90), draw.randint(3, 90), (size, size), (stride, stride))
        method = draw.choice([None, "svd", "tucker", "tt"])
        if method is None:
            yield layer, None
        else:
            caps = next(methods.get(method).polynomials(layer_shape(layer), Options()))[1].caps
            yield layer, Configuration(method, tuple(draw.randint(1, cap) for cap in caps))


def measured(model: LatencyModel, count: int = 250, noise: float = 0.0, outliers: int = 0) -> list[Measured]:
    draw = random.Random(1)
    found = []
    for number, (layer, one) in enumerate(chains(count, seed=0)):
        what = Measured(layer, one, 1)
        time = model.call + model.polynomial(what.operations).at(what.ranks)
        time = round(time * (1 + draw.uniform(-noise, noise)) * (3 if number < outliers else 1))
        found.append(Measured(layer, one, time))
    return found


@pytest.mark.parametrize(("tile", "pads"), [(1, False), (4, False), (16, False), (8, True), (16, True)])
def test_planted_numbers_and_the_planted_tile_are_recovered(tile: int, pads: bool) -> None:
    ends = ("", ", few inputs", ", odd channels", ", few inputs, odd channels") if pads else ("",)
    planted = LatencyModel("d", tile, pads, CALL, tuple((kind + end, of) for kind, of in NUMBERS for end in ends))
    model, fit = fitted("d", measured(planted), pads)
    assert (model.tile, model.pads, fit.count) == (tile, pads, 250)
    assert fit.p90 < 1e-4
    for one in measured(planted, 80):
        assert model.call + model.polynomial(one.operations).at(one.ranks) == pytest.approx(one.picoseconds, rel=1e-4)
    if not pads:
        assert model.call == pytest.approx(CALL, rel=0.2)  # a chain's operations tell it apart from `each`
        found = dict(model.numbers)
        assert found["convolution"][1:4] == pytest.approx(NUMBERS[1][1][1:4], rel=0.01)
        assert found["pointwise"][1:4] == pytest.approx(NUMBERS[2][1][1:4], rel=0.01)


def test_noise_and_outliers_move_predictions_little() -> None:
    planted = LatencyModel("d", 8, False, CALL, NUMBERS)
    model, fit = fitted("d", measured(planted, noise=0.1, outliers=10), pads=False)
    assert model.tile == 8
    assert 0.02 < fit.median < 0.1
    exact = measured(planted, 80)
    off = [abs(model.call + model.polynomial(one.operations).at(one.ranks) - one.picoseconds) for one in exact]
    assert sorted(error / one.picoseconds for error, one in zip(off, exact, strict=True))[72] < 0.05


def test_no_number_is_below_zero() -> None:
    model, _ = fitted("d", measured(LatencyModel("d", 4, False, 0, NUMBERS), noise=0.5), pads=False)
    assert model.call >= 0
    assert all(number >= 0 for _, of in model.numbers for number in of)


def test_too_few_measurements_are_refused() -> None:
    planted = LatencyModel("d", 4, False, 0, NUMBERS)
    with pytest.raises(UserError, match=f"19 measurements are too few.* it needs {FEWEST}"):
        fitted("d", measured(planted, 19), pads=False)
