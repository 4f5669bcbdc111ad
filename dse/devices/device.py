"""A device: a runtime on a machine with a number of threads, batch and precision, and what it was measured to take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from rankline.src.dse import methods
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.devices.latency import TERMS, LatencyModel
from rankline.src.dse.devices.operations import Operation, chain_operations, kept_operation, original_operations
from rankline.src.dse.errors import UserError, short
from rankline.src.dse.json_file import parsed, read_bytes
from rankline.src.dse.layer import MOST, MOST_CHARACTERS, Layer, layer_from
from rankline.src.dse.plan import configuration_entry, configuration_from
from rankline.src.dse.precision import F32, precision_named
from rankline.src.dse.symbols import layer_shape
from rankline.src.dse.whole_file import write_text

FORMAT = 1
"""Of the JSON file; another one is refused."""

FORMERLY = {"float32": F32.name}
"""Names of precisions in older files."""

LONGEST = 10**15
"""The most picoseconds of a measurement or a number: a quarter of an hour."""


@dataclass(frozen=True)
class Measured:
    """A layer, or its chain of factors, and the time of a call that runs it alone, in picoseconds.

    Without what a network pays only once: turning maps into the runtime's blocks of channels, and back.
    """

    layer: Layer
    configuration: Configuration | None
    picoseconds: int

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """What the device ran."""
        if kept := kept_operation(self.layer):
            return (kept,)
        shape, one = layer_shape(self.layer), self.configuration
        if one is None:
            return original_operations(shape)
        return chain_operations(shape, one.method, len(one.ranks), one.shape)

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks of the chain; none of a layer as it is."""
        return () if self.configuration is None else self.configuration.ranks


@dataclass(frozen=True)
class Fit:
    """How well numbers predict operations that they were not fitted to: median and 90th percentile of the relative
    error, over ``count`` of them."""

    median: float
    p90: float
    count: int


@dataclass(frozen=True)
class Device:
    """Facts about a device. Another runtime, number of threads, batch or precision is another device.

    - ``runtime``, ``version``: what runs the models, such as ``litert`` and ``2.3.0``
    - ``machine``: its processor and system, for people
    - ``measured_at``: an ISO 8601 date and time
    - ``model``: its numbers; ``fit``: how well they predict
    - ``measured``: what they were fitted to
    """

    name: str
    runtime: str
    version: str
    threads: int
    batch: int
    precision: str
    machine: str
    measured_at: str
    model: LatencyModel
    fit: Fit
    measured: tuple[Measured, ...] = field(default=(), repr=False)

    @property
    def title(self) -> str:
        """For people: the name, the runtime, its version, and how it runs."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{self.name} ({self.runtime} {self.version}, {self.precision}, {threads}, batch {self.batch})"

    def renamed(self, name: str) -> Device:
        """The same under another name. Raises UserError for a name that can't be shown."""
        return replace(self, name=_checked("name", name), model=replace(self.model, device=name))

    def predicted(self, one: Measured) -> int:
        """What the numbers give for a call that was measured, in picoseconds. Raises UserError where they lack a kind
        of operation."""
        return self.model.call + self.model.polynomial(one.operations).at(one.ranks)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which ``device_from`` reads; times in picoseconds."""
        model = self.model
        return {
            "format": FORMAT,
            **{name: getattr(self, name) for name in TEXTS},
            **{name: getattr(self, name) for name in COUNTS},
            "tile": model.tile,
            "pads": model.pads,
            "call": model.call,
            "numbers": {kind: dict(zip(TERMS, values, strict=True)) for kind, values in model.numbers},
            "cold": [list(pair) for pair in model.cold],
            "fit": {"median": self.fit.median, "p90": self.fit.p90, "count": self.fit.count},
            "measured": [
                {
                    "layer": one.layer.as_dict(),
                    "configuration": None if one.configuration is None else configuration_entry(one.configuration),
                    "picoseconds": one.picoseconds,
                }
                for one in self.measured
            ],
        }


TEXTS = ("name", "runtime", "version", "precision", "machine", "measured_at")
COUNTS = ("threads", "batch")


def write_device(device: Device, path: Path) -> None:
    """Writes the device as JSON, atomically. Raises UserError if the file can't be written."""
    write_text(path, json.dumps(device.as_dict(), indent=1) + "\n")


def read_device(path: Path) -> Device:
    """The device in a JSON file. Raises UserError naming the file and what is wrong."""
    try:
        return device_from(parsed(read_bytes(path)))
    except UserError as error:
        raise UserError(f"device file {path}: {error}; give a file that 'rankline device export' made") from error


def device_from(entry: Any) -> Device:
    """The device that ``as_dict`` describes. Raises UserError naming the field and what is expected."""
    if not isinstance(entry, dict) or entry.get("format") != FORMAT:
        raise UserError(f'expected an object with "format": {FORMAT}; got {short(entry)}')
    texts: dict[str, Any] = {name: _checked(name, _of(entry, name, str)) for name in TEXTS}
    _check_date(texts["measured_at"])
    texts["precision"] = FORMERLY.get(texts["precision"], texts["precision"])
    precision = precision_named(texts["precision"])
    counts: dict[str, Any] = {name: _whole(entry, name, 1) for name in COUNTS}
    numbers, fit, measured = (
        _of(entry, name, kind) for name, kind in (("numbers", dict), ("fit", dict), ("measured", list))
    )
    model = LatencyModel(
        device=texts["name"],
        tile=_whole(entry, "tile", 1),
        pads=bool(_of(entry, "pads", bool)),
        call=_whole(entry, "call", 0),
        numbers=tuple(
            (_checked("numbers", kind), tuple(_time(_of(numbers, kind, dict), term) for term in TERMS))
            for kind in numbers
        ),
        cold=_cold(_of(entry, "cold", list)),
        bytes_per_weight=precision.bytes_per_weight,
    )
    device = Device(
        **texts,
        **counts,
        model=model,
        fit=Fit(_time(fit, "median"), _time(fit, "p90"), _whole(fit, "count", 0)),
        measured=tuple(measured_from(one) for one in measured),
    )
    for one in device.measured:
        device.predicted(one)
    return device


def measured_from(entry: Any) -> Measured:
    """A measurement as ``as_dict`` writes it. Raises UserError."""
    if not isinstance(entry, dict):
        raise UserError(f"a measurement must be an object; got {short(entry)}")
    layer = layer_from(_of(entry, "layer", dict))
    given = entry.get("configuration")
    picoseconds = _whole(entry, "picoseconds", 1)
    measured = Measured(layer, None if given is None else configuration_from(layer.name, given), picoseconds)
    _check_runs(measured)
    return measured


def _check_runs(one: Measured) -> None:
    """Raises UserError where there is no such chain of factors."""
    layer, given = one.layer, one.configuration
    if layer.kept_because and (given is not None or kept_operation(layer) is None):
        raise UserError(f"layer '{layer.name}' was measured; it must be a convolution or a dense layer")
    if given is None:
        return
    if refusal := methods.get(given.method).refuses(layer):
        raise UserError(f"layer '{layer.name}': {refusal}")
    try:
        channels = [side for operation in one.operations for side in (operation.inputs, operation.outputs)]
    except (ValueError, IndexError):
        channels = []
    ranks = {side.rank for side in channels} - {None}
    if ranks != set(range(len(given.ranks))) or max(given.ranks) > MOST or min(side.count for side in channels) < 1:
        raise UserError(f"layer '{layer.name}' has no configuration {short(str(given))}")


def _cold(pairs: list[Any]) -> tuple[tuple[int, float], ...]:
    """Bytes and picoseconds (see ``LatencyModel.cold``)."""
    found = []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise UserError(f"'cold' must be a list of pairs, of bytes and picoseconds; got {short(pair)}")
        found.append((_whole({"bytes": pair[0]}, "bytes", 0), _time({"picoseconds": pair[1]}, "picoseconds")))
    if any(a >= b for (a, _), (b, _) in pairwise(found)):
        raise UserError("'cold' must have rising numbers of bytes")
    return tuple(found)


def _of(entry: Mapping[str, Any], name: str, kind: type) -> Any:
    found = entry.get(name)
    if not isinstance(found, kind):
        raise UserError(f"'{name}' must be {NAMES[kind]}; got {short(found)}")
    return found


NAMES = {dict: "an object", list: "a list", bool: "true or false", str: "text"}


def _checked(name: str, text: str) -> str:
    if not text.strip() or len(text) > MOST_CHARACTERS or not text.isprintable():
        raise UserError(f"'{name}' must be text of 1 to {MOST_CHARACTERS:,} printable characters; got {short(text)}")
    return text


def _check_date(text: str) -> None:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"'measured_at' must be an ISO 8601 date and time; got {short(text)}") from None


def _whole(entry: Mapping[str, Any], name: str, least: int) -> int:
    found = entry.get(name)
    if isinstance(found, bool) or not isinstance(found, int) or not least <= found <= LONGEST:
        raise UserError(f"'{name}' must be a whole number from {least} to {LONGEST:,}; got {short(found)}")
    return found


def _time(entry: Mapping[str, Any], name: str) -> float:
    found = entry.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= LONGEST:
        raise UserError(f"'{name}' must be a number from 0 to {LONGEST:,}; got {short(found)}")
    return float(found)
