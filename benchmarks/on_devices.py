"""Benchmarks of networks on devices: their options, and rows that are kept where they are not measured anew."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.latency_prediction import device_of
from benchmarks.record import kept_parts, now, record
from rankline.src.compress.deploy import runtimes
from rankline.src.dse.devices.device import Device
from rankline.src.dse.precision import F32

Rows = Callable[[str, Device, Path, int], list[dict[str, Any]]]
"""Of a network by name, a device, a folder for files, and a seed."""


def measure(
    name: str,
    about: str | None,
    networks: Sequence[str],
    rows_of: Rows,
    packages: tuple[str, ...],
    precision: str = F32.name,
    arguments: list[str] | None = None,
) -> None:
    """Measures networks on a device of each runtime, and records the rows after each of them.

    name: of the benchmark; networks: those that it knows; precision: at which the devices are measured.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--runtimes", type=lambda text: text.split(","), default=["litert", "onnx"])
    parser.add_argument("--networks", type=lambda text: text.split(","), default=list(networks))
    parser.add_argument("--devices", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    found = kept_parts(name, tuple(runtimes.CLASSES), [])
    for runtime in options.runtimes:
        device = device_of(runtime, options.devices, options.seed, precision)
        rows = [row for row in found.get(runtime, {}).get("rows", []) if row["network"] not in options.networks]
        for network in options.networks:
            with tempfile.TemporaryDirectory() as folder:
                rows += rows_of(network, device, Path(folder), options.seed)
            found[runtime] = {"date": now(), "device": device.title, "rows": rows}
            record(name, options.seed, packages, found)
    print(record(name, options.seed, packages, found))
