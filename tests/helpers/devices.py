"""Devices that are made up: their numbers are of the size that a processor's are, and nothing is measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rankline.src.dse.configuration import Configuration
from rankline.src.dse.devices.device import Device, Fit, Measured
from rankline.src.dse.devices.latency import LatencyModel
from rankline.src.dse.devices.operations import KINDS
from rankline.src.dse.layer import conv, dense

NUMBERS = {
    "pointwise": (800_000.0, 42.5, 150.25, 410.0, 12.0),
    "convolution": (1_250_000.5, 31.0, 95.0, 620.0, 25.5),
    "along axis": (1_100_000.0, 47.75, 210.0, 530.0, 30.0),
    "depthwise": (900_000.0, 160.0, 80.0, 240.0, 0.0),
    "depthwise along axis": (850_000.0, 205.5, 85.0, 260.0, 0.0),
    "own along axis": (2_400_000.0, 310.0, 330.0, 350.0, 0.0),
    "dense": (650_000.0, 55.0, 0.0, 900.0, 210.0),
    "core": (3_000_000.0, 65.0, 720.0, 780.0, 15.0),
    "elementwise": (300_000.0, 0.0, 60.0, 70.0, 0.0),
    "max pooling": (500_000.0, 20.0, 90.0, 110.0, 0.0),
    "average pooling": (500_000.0, 20.0, 90.0, 110.0, 0.0),
}
"""Picoseconds in the order of TERMS."""

CHOICES = [Configuration("tucker", (3, 5)), Configuration("cp", (7,)), Configuration("tt", (2, 3, 4))]


def numbers_of(pads: bool, leave_out: str = "") -> tuple[tuple[str, tuple[float, ...]], ...]:
    """Numbers for every kind of operation but one, with those that a runtime that pads tells apart."""
    endings = [few + odd for few in ("", ", few inputs") for odd in ("", ", odd channels")] if pads else [""]
    named = {
        f"{start}{kind}{ending}": tuple(value * (1 + j / 8) for value in NUMBERS[kind])
        for start in ("", "3-D ")
        for kind in KINDS
        for j, ending in enumerate(endings)
    }
    return tuple((kind, values) for kind, values in named.items() if kind != leave_out)


def made_up_device(name: str = "laptop", tile: int = 4, pads: bool = False, leave_out: str = "") -> Device:
    """A device with a dozen measurements, each some percent off its numbers."""
    cold = ((2**20, 1.5), (2**24, 90.0))
    model = LatencyModel(name, tile, pads, 5_000_000, numbers_of(pads, leave_out), cold)
    device = Device(
        name=name,
        runtime="litert",
        version="2.3.0",
        threads=1,
        batch=1,
        precision="f32",
        machine="a processor of 2 cores",
        measured_at="2026-11-28T09:00:00+00:00",
        model=model,
        fit=Fit(0.0625, 0.1875, 12),
    )
    if leave_out:
        return device
    layers = [conv(f"c{j}", (3, 3), 4 * j, 6 * j, (8, 8)) for j in (1, 2, 3)]
    ones = [Measured(layer, one, 1) for layer in layers for one in (None, *CHOICES[: 2 + layer.in_channels % 8 // 4])]
    ones += [Measured(dense("d", 48, 10), None, 1)]
    times = [device.predicted(one) * (90 + 7 * j % 23) // 100 for j, one in enumerate(ones)]
    measured = tuple(Measured(one.layer, one.configuration, time) for one, time in zip(ones, times, strict=True))
    return Device(**{**vars(device), "measured": measured})


def elsewhere(name: str = "board", leave_out: str = "", **changes: Any) -> Device:
    """A device that is never this machine, because it runs models by another version. What an operation takes on it is
    mostly multiplying, so that small layers can be made faster."""
    device = made_up_device(name, leave_out=leave_out)
    numbers = tuple((kind, (1000.0, *each[1:])) for kind, each in device.model.numbers)
    return replace(device, version="0.1", measured=(), model=replace(device.model, numbers=numbers, **changes))
