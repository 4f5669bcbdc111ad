"""Devices measured by real runtimes on tiny chains, and what is said where they can't be."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import keras
import pytest

from rankline.src.compress.deploy import cold, measure, runtimes
from rankline.src.compress.deploy.chains import Chain
from rankline.src.compress.deploy.litert import LiteRT
from rankline.src.compress.deploy.measure import LARGEST_SPREAD, add_device, converted, measure_operations
from rankline.src.compress.deploy.runtime import Calls
from rankline.src.compress.deploy.timing import Timing
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.devices.device import device_from
from rankline.src.dse.devices.operations import chain_operations
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import conv, dense
from rankline.src.dse.symbols import layer_shape
from tests.helpers.tiny_chains import tiny_chains


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "chains", lambda number, pads, seed: tiny_chains(24, pads, seed))
    monkeypatch.setattr(cold, "HEAVY", (Chain(dense("heavy", 64, 64)), Chain(conv("also", (3, 3), 8, 16, (4, 4)))))
    monkeypatch.setattr(cold, "SIZES", (cold.MIB, 4 * cold.MIB))
    monkeypatch.setattr(cold, "SECONDS", 0.1)


@pytest.mark.parametrize("name", list(runtimes.CLASSES))
def test_a_device_predicts_what_it_has_not_seen(name: str) -> None:
    threads = (os.cpu_count() or 1) if name == "keras" else 1
    told: list[tuple[str, int, int]] = []
    device, found = add_device(
        "here", runtimes.get(name), Calls(threads, 2), quick=True, force=True, progress=lambda *one: told.append(one)
    )
    assert device_from(device.as_dict()) == device
    assert (device.runtime, device.threads, device.batch, device.precision) == (name, threads, 2, "f32")
    assert device.version == runtimes.get(name).version()
    assert len(device.measured) == device.fit.count == 24
    assert all(one.picoseconds > 0 for one in device.measured)
    assert found.left_out == ()
    assert 0 <= found.spread < 100
    layer = conv("new", (3, 3), 5, 7, (8, 8))
    predicted = device.model.polynomial(chain_operations(layer_shape(layer), "tucker", 2, None)).at((4, 4))
    assert 0 <= predicted < 10**12
    assert told[0] == ("chains converted", 0, 24)
    assert ("chains converted", 24, 24) in told
    assert told[-1] == ("weights out of the cache", 1, 2)
    sizes, more = zip(*device.model.cold, strict=True)
    assert sizes == (0, *cold.SIZES)
    assert more[0] == 0
    assert list(more) == sorted(more), "the farther away, the longer"


class NoTucker(LiteRT):
    """A runtime that can't convert Tucker's middle layers."""

    def parts(self, models: Sequence[keras.Model], batch: int, precision: str = "f32") -> list[Any]:
        if any("tucker" in layer.name for model in models for layer in model.layers):
            raise UserError("no operation 'Tucker'")
        return [model.name for model in models]


def test_a_form_that_can_not_be_converted_is_left_out_and_told() -> None:
    some = tiny_chains(24)
    contents, left_out = converted(NoTucker(), some)
    assert left_out == ("tucker of a 2-D convolution",)
    gone = [chain.configuration is not None and chain.configuration.method == "tucker" for chain in some]
    assert [content is None for content in contents] == gone


def test_a_runtime_that_can_convert_nothing_says_why() -> None:
    layer = conv("a", (3, 3), 4, 4, (6, 6))
    with pytest.raises(UserError, match="no operation 'Tucker'"):
        converted(NoTucker(), [Chain(layer, Configuration("tucker", (2, 2)))])


class Fake(LiteRT):
    """A runtime whose models do nothing."""

    def parts(self, models: Sequence[keras.Model], batch: int, precision: str = "f32") -> list[Any]:
        return [model.name for model in models]

    def load(self, model: Any, threads: int) -> Any:
        return SimpleNamespace(call=lambda: None)


class NoDense(Fake):
    """A runtime that can write dense layers, but not run them."""

    def parts(self, models: Sequence[keras.Model], batch: int, precision: str = "f32") -> list[Any]:
        return [type(model.layers[-1]).__name__ for model in models]

    def load(self, model: Any, threads: int) -> Any:
        if model == "Dense":
            raise UserError("no operation 'Dense'")
        return super().load(model, threads)


def test_a_form_that_can_not_be_run_is_left_out_and_told() -> None:
    found = measure_operations(NoDense())
    assert found.left_out == ("dense layer", "svd of a dense layer")
    assert len(found.measured) == 12


def busy(calls: dict[Any, Callable[[], object]], *_: object) -> dict[Any, Timing]:
    return {name: Timing(10**6 + j, 10**6, 1.5 * LARGEST_SPREAD, 20) for j, name in enumerate(calls)}


def test_a_busy_machine_is_refused_unless_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "timed", busy)
    with pytest.raises(UserError, match=r"too busy: the same operations differ by 12%.*--force"):
        add_device("here", Fake())
    device, found = add_device("here", Fake(), force=True)
    assert found.spread == pytest.approx(0.12)
    assert device.name == "here"


@pytest.mark.parametrize(("threads", "batch", "what"), [(0, 1, "threads"), (1, 0, "batch")])
def test_settings_below_one_are_refused(threads: int, batch: int, what: str) -> None:
    with pytest.raises(UserError, match=f"{what} must be a whole number of at least 1; got 0"):
        measure_operations(runtimes.get("litert"), Calls(threads, batch))


def test_forms_are_named_for_people() -> None:
    def form(layer: Any, *configuration: Any) -> str:
        return Chain(layer, Configuration(*configuration) if configuration else None).form

    assert form(conv("a", (3, 3), 4, 4, (6, 6)), "cp", (2,)) == "cp of a 2-D convolution"
    strided = conv("a", (3, 3), 4, 4, (6, 6), 2)
    assert form(strided, "cp", (2,)) == "cp of a 2-D convolution with a layer of Rankline's own"
    assert form(conv("a", (1, 1), 4, 4, (6, 6))) == "2-D 1x1 convolution"
    assert form(dense("a", 4, 4)) == "dense layer"
