"""A device's JSON file: read back as it was written, and what is wrong with one told in a line."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rankline.src.dse.devices import version
from rankline.src.dse.devices.device import Measured, device_from, read_device, write_device
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import Layer
from tests.helpers.devices import made_up_device
from tests.helpers.fuzz import odd_bytes, odd_json

VALID = made_up_device().as_dict()


def test_a_device_is_read_back_from_its_file(tmp_path: Path) -> None:
    for pads in (False, True):
        device = made_up_device(pads=pads)
        write_device(device, tmp_path / "device.json")
        assert read_device(tmp_path / "device.json") == device


def test_a_new_name_is_that_of_the_model_too() -> None:
    found = made_up_device().renamed("phone")
    assert (found.name, found.model.device) == ("phone", "phone")
    for name in ("", "  ", "a\nb", "\x1b[2J", "a" * 1001):
        with pytest.raises(UserError, match="'name' must be text of 1 to 1,000 printable characters"):
            found.renamed(name)


def test_a_prediction_is_the_call_and_the_sum_over_the_chain() -> None:
    device = made_up_device()
    for one in device.measured:
        latency = device.model.polynomial(one.operations).at(one.ranks)
        assert device.predicted(one) == device.model.call + latency
        assert abs(one.picoseconds / device.predicted(one) - 1) < 0.2


def test_a_depthwise_layer_that_is_kept_may_be_measured() -> None:
    layer = Layer(
        "kept", "depthwiseconv2d", 8, 8, (3, 3), (6, 6), (6, 6), (1, 1), "same", (1, 1), kept_because="depthwise"
    )
    device = replace(made_up_device(), measured=(Measured(layer, None, 2_000_000),))
    found = device_from(device.as_dict())
    assert found == device
    assert [one.kind for one in found.measured[0].operations] == ["depthwise"]
    entry = device.as_dict()
    entry["measured"][0]["configuration"] = {"method": "svd", "ranks": [2]}
    with pytest.raises(UserError, match="layer 'kept' was measured; it must be"):
        device_from(entry)


def changed(path: str, value: Any) -> Callable[[], Any]:
    """The valid entry with one value replaced, by its path of keys."""

    def make() -> Any:
        entry: Any = copy.deepcopy(VALID)
        *places, last = [int(key) if key.isdigit() else key for key in path.split("/")]
        inner = entry
        for place in places:
            inner = inner[place]
        inner[last] = value
        return entry

    return make


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "a list": (lambda: [VALID], 'expected an object with "format": 1; got \\['),
    "another format": (changed("format", 2), 'expected an object with "format": 1'),
    "no name": (changed("name", None), "'name' must be text; got None"),
    "a name that clears the screen": (changed("name", "\x1b[2J"), "'name' must be text of 1 to 1,000 printable"),
    "half a character": (changed("machine", "\ud800"), "'machine' must be text of 1 to 1,000 printable"),
    "a kind that can't be shown": (changed("numbers/\x9b", {}), "'numbers' must be text of 1 to 1,000 printable"),
    "no date": (changed("measured_at", "yesterday"), "'measured_at' must be an ISO 8601 date and time"),
    "no threads": (changed("threads", 0), "'threads' must be a whole number from 1"),
    "a half thread": (changed("threads", 1.5), "'threads' must be a whole number from 1"),
    "a negative number": (changed("numbers/dense/mac", -1.0), "'mac' must be a number from 0"),
    "no number": (changed("numbers/dense/mac", float("nan")), "'mac' must be a number from 0"),
    "a huge number": (changed("numbers/dense/mac", 10**30), "'mac' must be a number from 0"),
    "a truth": (changed("numbers/dense/mac", True), "'mac' must be a number from 0"),
    "a negative call": (changed("call", -5), "'call' must be a whole number from 0"),
    "a tile of nothing": (changed("tile", 0), "'tile' must be a whole number from 1"),
    "numbers in a list": (changed("numbers", []), "'numbers' must be an object"),
    "an endless error": (changed("fit/p90", float("inf")), "'p90' must be a number from 0"),
    "a measurement of nothing": (changed("measured/0/picoseconds", 0), "'picoseconds' must be a whole number from 1"),
    "no layer": (changed("measured/0/layer", {}), "a layer needs a 'name'"),
    "a layer of another kind": (changed("measured/0/layer/kept_because", "x"), "must be a convolution or a dense"),
    "a method for others": (
        changed("measured/1/configuration", {"method": "qr", "ranks": [2]}), "layer 'c1': QR factorizes matrices",
    ),
    "too many ranks": (
        changed("measured/1/configuration", {"method": "tucker", "ranks": [2, 2, 2]}),
        "layer 'c1' has no configuration 'tucker 2x2x2'",
    ),
    "a huge rank": (
        changed("measured/1/configuration", {"method": "cp", "ranks": [2**40]}), "layer 'c1' has no configuration",
    ),
    "no tensor shape": (
        changed("measured/1", {
            "layer": {"name": "d", "kind": "dense", "in_channels": 16, "out_channels": 16}, "picoseconds": 9,
            "configuration": {"method": "t3f", "ranks": [2], "shape": "4x-4:4x4"},
        }),
        "layer 'd' has no configuration 't3f 2 4x-4:4x4'",
    ),
    "numbers for no convolution": (
        changed("numbers", {"dense": VALID["numbers"]["dense"]}), "has no numbers for the operation 'convolution'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_with_what_is_expected(what: str) -> None:
    make, message = WRONG[what]
    with pytest.raises(UserError, match=message):
        device_from(make())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ('{"format": NaN}', "not JSON \\(NaN is no number there\\)"),
        ('{"format": 1, "format": 1}', "the key 'format' appears twice"),
        ("[" * 5000, "nested more than"),
        ("\xff", "not JSON"),
    ],
)
def test_a_file_that_is_none_is_told_by_its_name(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(UserError, match=f"odd.json: .*{message}.*; give a file that 'rankline device export' made"):
        read_device(tmp_path / "odd.json")


def test_200_files_that_are_nearly_right(tmp_path: Path) -> None:
    """Each is refused in one line, or predicts what was measured."""
    chance, path, accepted = random.Random(6), tmp_path / "odd.json", 0
    for number in range(200):
        if number % 4:
            path.write_text(odd_json(VALID, chance))
        else:
            path.write_bytes(odd_bytes(json.dumps(VALID).encode(), chance))
        found, told = None, ""
        try:
            found = read_device(path)
        except UserError as error:
            told = str(error)
        assert "\n" not in told
        if found is not None:
            accepted += 1
            assert all(found.predicted(one) >= 0 for one in found.measured)
    assert 0 < accepted < 150


def test_another_version_of_the_runtime_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    device = made_up_device()
    monkeypatch.setattr(version, "version", {"ai-edge-litert": "2.4.0"}.__getitem__)
    assert version.installed_version("litert") == "2.4.0"
    assert version.other_version(device) == (
        "device 'laptop' was measured with litert 2.3.0, and 2.4.0 is installed here: measure it again if times have "
        "changed"
    )
    monkeypatch.setattr(version, "version", {"ai-edge-litert": "2.3.0"}.__getitem__)
    assert version.other_version(device) is None


def test_a_runtime_that_is_not_here_or_not_known_is_no_reason_to_warn() -> None:
    assert version.installed_version("another") is None
    assert version.installed_version("keras") is not None
