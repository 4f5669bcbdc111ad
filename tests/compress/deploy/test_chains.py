"""The chains that devices are measured on cover what networks have, and are what surgery makes of layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from rankline.src.compress.deploy.chain_models import chain_model
from rankline.src.compress.deploy.chains import (
    FULL,
    MOST_MACS,
    MOST_WEIGHTS,
    QUICK,
    TILE,
    Chain,
    chains,
)
from rankline.src.compress.model.surgery import factorize
from rankline.src.dse.devices.device import measured_from
from rankline.src.dse.devices.fitting import fitted
from rankline.src.dse.devices.latency import LatencyModel
from rankline.src.dse.devices.operations import KINDS
from rankline.src.dse.keras_model.reader import read
from rankline.src.dse.plan import configuration_entry

VARIED = ("pointwise", "convolution", "along axis")


def kinds_of(found: list[Chain], model: LatencyModel) -> set[str]:
    return {model.kind_of(operation) for chain in found for operation in chain.operations}


def one_of_each_form(pads: bool) -> list[Chain]:
    return list({chain.form: chain for chain in chains(QUICK, pads)}.values())


def with_weights(found: list[Chain]) -> list[Chain]:
    """Without additions and poolings."""
    return [chain for chain in found if chain.layer.kind != "add" and "pooling" not in chain.layer.kind]


@pytest.mark.parametrize("pads", [False, True])
@pytest.mark.parametrize("number", [QUICK, FULL])
def test_every_kind_of_operation_is_measured(number: int, pads: bool) -> None:
    plain = kinds_of(chains(number, pads), LatencyModel("", TILE, False, 0, ()))
    assert set(KINDS) <= plain
    assert {"3-D pointwise", "3-D convolution", "3-D along axis", "3-D own along axis"} <= plain


@pytest.mark.parametrize("number", [QUICK, FULL])
def test_channels_that_are_slower_where_ranks_are_padded_are_measured(number: int) -> None:
    found = kinds_of(chains(number, True), LatencyModel("", TILE, True, 0, ()))
    variants = ("", ", few inputs", ", odd channels", ", few inputs, odd channels")
    assert {kind + variant for kind in (*VARIED, "3-D convolution") for variant in variants} <= found
    # A 1x1 convolution is pointwise whatever its axes; in chains on three axes only one side is a layer's own.
    assert {"3-D pointwise" + variant for variant in variants[:3]} | {"depthwise, odd channels"} <= found


def test_chains_are_those_of_the_seed() -> None:
    assert chains(QUICK, False, 3) == chains(QUICK, False, 3)
    assert chains(QUICK, False, 3) != chains(QUICK, False, 4)


@pytest.mark.parametrize("pads", [False, True])
def test_no_chain_is_measured_twice_and_none_is_too_large(pads: bool) -> None:
    found = chains(FULL, pads)
    assert len({chain.layer.name for chain in found}) == len(found)
    facts = [(str(chain.layer.as_dict() | {"name": ""}), str(chain.configuration)) for chain in found]
    assert len(set(facts)) == len(found)
    assert FULL * 0.9 < len(found) < FULL * 1.1
    weights = [sum(link.params for link in chain.links()) for chain in found if not chain.layer.kept_because]
    macs = [sum(link.cost(chain.layer.positions).flops / 2 for link in chain.links()) for chain in found]
    assert max(weights) <= MOST_WEIGHTS
    assert max(m for m, chain in zip(macs, found, strict=True) if not chain.layer.kept_because) <= MOST_MACS
    assert 4 * sum(weights) < 80e6


def test_ranks_are_whole_tiles_where_they_are_padded() -> None:
    ranks = [
        rank
        for chain in chains(FULL, True)
        if chain.configuration and chain.configuration.method != "t3f"
        for rank in chain.configuration.ranks
    ]
    assert {rank % TILE for rank in ranks} == {0}


def test_every_chain_is_measured_as_it_is_read_back() -> None:
    for chain in chains(FULL, True):
        one = chain.configuration
        entry = {"layer": chain.layer.as_dict(), "configuration": one and configuration_entry(one), "picoseconds": 5}
        assert measured_from(entry) == chain.timed(5)


@pytest.mark.parametrize("pads", [False, True])
def test_chains_of_every_form_are_those_that_surgery_makes(pads: bool) -> None:
    for chain in with_weights(one_of_each_form(pads)):
        model = chain_model(chain, 2)
        assert model.inputs[0].shape[0] == 2
        (layer,) = read(chain_model(Chain(chain.layer), 2))
        assert layer == chain.layer or (layer.kept_because and layer.kernel == chain.layer.kernel)
        assert tuple(model.outputs[0].shape[1:]) == (
            *(layer.out_size or ((layer.positions,) if layer.positions > 1 else ())),
            layer.out_channels,
        )
        if chain.configuration and not pads:  # padded ranks may pass the caps that surgery checks
            known = [np.zeros(link.weights) for link in chain.links()]
            known = known[::-1] if chain.configuration.method == "t3f" else known
            original = chain_model(Chain(chain.layer), 2)
            made = factorize(original, {chain.layer.name: chain.configuration}, known={chain.layer.name: known})
            assert [one.get_config() for one in made.layers[1:]] == [one.get_config() for one in model.layers[1:]]


def test_maps_keep_their_scale() -> None:
    for chain in with_weights(one_of_each_form(True)):
        model = chain_model(chain, 1)
        x = np.random.default_rng(0).standard_normal(model.inputs[0].shape).astype("float32")
        found = keras.ops.convert_to_numpy(model(x))
        assert 1e-3 < found.std() < 1e3
        assert found.min() == 0


def synthetic(pads: bool, tile: int) -> list:
    """Chains and the times that a device of known numbers would take."""
    drawn = chains(FULL, pads)
    model = LatencyModel("known", tile, pads, 0, ())
    numbers = (("any", (3e5, 17.0, 40.0, 60.0, 20.0)),)
    times = []
    for chain in drawn:
        one = chain.timed(1)
        amounts = [model.amounts(operation, one.ranks) for operation in chain.operations]
        total = sum(a * n for row in amounts for a, n in zip(row, numbers[0][1], strict=True)) + 1e6
        times.append(chain.timed(round(total)))
    return times


@pytest.mark.parametrize(("pads", "tile"), [(False, 1), (False, 16), (True, 16)])
def test_the_fit_finds_a_device_again(pads: bool, tile: int) -> None:
    model, fit = fitted("known", synthetic(pads, tile), pads)
    assert model.tile == tile
    assert fit.p90 < 0.02
    numbers = dict(model.numbers)["convolution"]
    assert numbers[1] == pytest.approx(17.0, rel=0.1)
    assert model.call == pytest.approx(1e6, rel=0.3)
