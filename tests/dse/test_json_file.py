"""JSON from outside: what is refused, in how many words, and that nothing hangs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from rankline.src.dse import json_file
from rankline.src.dse.errors import UserError
from rankline.src.dse.json_file import parsed, read_bytes
from rankline.src.dse.layer import layer_from
from rankline.src.dse.layers_file import read_layers
from rankline.src.dse.plan import read_plan


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[1, 2", "not JSON (Expecting"),
        (b"[NaN]", "not JSON (NaN is no number there)"),
        (b'{"a": -Infinity}', "-Infinity is no number"),
        (b"[" * 100_000, "nested more than 200 deep"),
        (b"[" * 300 + b"]" * 300, "nested more than 200 deep"),
        (b'{"a": 1, "a": 2}', "the key 'a' appears twice"),
        (b"[" + b"9" * 5000 + b"]", "a number of 5,000 digits"),
        ("[1]".encode("utf-16"), "UTF-16 text; save it as UTF-8"),
        (b"[\xff]", "not UTF-8 text (byte 1)"),
    ],
)
def test_what_is_no_sensible_json_is_told_in_a_few_words(text: bytes, reason: str) -> None:
    with pytest.raises(UserError) as caught:
        parsed(text)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 120


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert parsed(b"\xef\xbb\xbf[1]") == [1]


def test_pipes_folders_devices_and_endless_files_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "large.json").write_text("[1, 2, 3]")
    monkeypatch.setattr(json_file, "MOST_BYTES", 5)
    for path, reason in {
        tmp_path / "pipe.json": "it is a pipe or a device",
        tmp_path: "it is a folder",
        Path("/dev/null"): "it is a pipe or a device",
        tmp_path / "absent.json": "No such file",
        tmp_path / ("x" * 300): "File name too long",
        Path("a\0b"): "the path can't be that of a file",
        tmp_path / "large.json": "it is larger than",
    }.items():
        for read in (read_bytes, read_layers, read_plan):
            with pytest.raises(UserError) as caught:
                read(path)
            assert reason in str(caught.value)


KEPT = {"name": "k", "kept_because": "no"}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({**KEPT, "out_size": 5}, "'out_size' must be a list of whole numbers"),
        ({**KEPT, "kernel": "abc"}, "'kernel' must be a list of whole numbers"),
        (
            {**KEPT, "kernel": [10**30]},
            "whole numbers of at least 1 and at most 2,147,483,647",
        ),
        ({**KEPT, "strides": [1.5]}, "'strides' must be a list of whole numbers"),
        ({**KEPT, "strides": [[1]]}, "'strides' must be a list of whole numbers"),
        ({**KEPT, "in_size": [1] * 9}, "'in_size' must have at most 8 sizes"),
        ({**KEPT, "kernel": [3], "strides": [1, 1]}, "'strides' has 2 sizes, the kernel has 1"),
        ({**KEPT, "sequential": "x"}, "'sequential' must be true or false"),
        ({**KEPT, "kept_macs": 10**30}, "'kept_macs' must be a whole number of at least 0 and at most"),
        ({**KEPT, "kept_params": True}, "'kept_params' must be a whole number"),
        ({**KEPT, "groups": -1}, "'groups' must be a whole number of at least 0"),
        ({**KEPT, "padding": 3}, "'padding' must be text"),
        ({**KEPT, "kept_because": [1]}, "'kept_because' must be text"),
        ({**KEPT, "kind": "x" * 1001}, "'kind' must be text of at most 1,000 characters"),
        ({**KEPT, "name": "\ud800"}, "'name' must be text of at most 1,000 characters that UTF-8 can hold"),
        ({**KEPT, "name": "a\0"}, "without a null character"),
        ({"name": "d", "kind": "dense", "in_channels": 2**31, "out_channels": 1}, "at most 2,147,483,647"),
        (
            {"name": "d", "kind": "dense", "in_channels": 2**30, "out_channels": 2**30, "positions": 8},
            "64-bit integers",
        ),
        ({"name": "d", "kind": "dense", "in_channels": 2, "out_channels": 1, "sequential": 1}, "must be true or false"),
        ({"name": "d", "kind": [], "in_channels": 2, "out_channels": 1}, "kind must be 'conv' or 'dense'"),
    ],
)
def test_every_field_of_a_layer_is_checked(entry: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError) as caught:
        layer_from(entry)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_kept_layer_needs_no_more_than_its_reason() -> None:
    layer = layer_from({**KEPT, "kernel": [3, 3], "kept_macs": None, "out_size": []})
    assert (layer.kind, layer.kernel, layer.kept_macs, layer.out_size) == ("other", (3, 3), None, ())
