"""What chains pay at their ends is told from what their layers take."""

from __future__ import annotations

import pytest

from rankline.src.compress.deploy.chains import Chain
from rankline.src.compress.deploy.ends import SIZES, STACKS, cost_at_ends, elements_at_ends, stack_model
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.layer import conv, dense


def times_at(cost: float) -> dict:
    """Of stacks whose layers take a time of their own each, after a call of two microseconds."""
    return {
        (channels, size, layers): round(2e6 + layers * 17 * (channels * size) ** 2 + cost * 2 * channels * size**2)
        for channels, size, layers in STACKS
    }


@pytest.mark.parametrize("cost", [0, 40, 130])
def test_the_cost_of_an_element_is_found_whatever_layers_and_calls_take(cost: float) -> None:
    assert cost_at_ends(times_at(cost)) == pytest.approx(cost, abs=0.01)


def test_one_wrong_time_does_not_count_and_no_cost_is_below_zero() -> None:
    times = times_at(100)
    times[(*SIZES[1], 1)] *= 3
    assert cost_at_ends(times) == pytest.approx(100, rel=0.1)
    assert cost_at_ends(times_at(-50)) == 0


def test_the_elements_are_those_of_maps_that_are_kept_in_blocks() -> None:
    def elements(inputs: int, outputs: int, *configuration: object) -> int:
        layer = conv("a", (3, 3), inputs, outputs, (8, 8), 2)
        return elements_at_ends(Chain(layer, Configuration(*configuration) if configuration else None))

    assert elements(32, 48) == 64 * 32 + 16 * 48
    assert elements(3, 48) == 16 * 48
    assert elements(32, 45) == 0
    assert elements(32, 45, "tucker", (16, 16)) == 64 * 32
    assert elements(3, 48, "tucker", (16, 16)) == 16 * 48
    assert elements_at_ends(Chain(dense("a", 32, 32))) == 0
    assert elements_at_ends(Chain(conv("a", (3,), 32, 32, (8,)))) == 0
    t3f = Configuration("t3f", (2,), "8x4:4x8")
    assert elements_at_ends(Chain(conv("a", (1, 1), 32, 32, (8, 8)), t3f)) == 0


def test_a_stack_has_its_layers() -> None:
    model = stack_model((16, 4, 3), 2)
    assert model.outputs[0].shape == (2, 4, 4, 16)
    assert len(model.layers) == 4
