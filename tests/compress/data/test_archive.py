"""Files of arrays: what is read, and what is refused before anything is unpacked."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from rankline.src.compress.data import archive
from rankline.src.compress.data.sources import held_in
from rankline.src.compress.data.takes import Takes
from rankline.src.dse.errors import UserError

X = np.arange(24, dtype=np.float32).reshape(6, 4)


def message(path: Path, needs_labels: bool = False) -> str:
    with pytest.raises(UserError) as told:
        held_in(str(path), Takes(), needs_labels)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_a_lone_array_is_inputs_whatever_its_name(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "one.npz", X)
    for name in ("x.npy", "one.npz"):
        held = held_in(str(tmp_path / name), Takes(), needs_labels=False)
        assert np.array_equal(held.first.x[0], X)
        assert "lacks y; it holds" in message(tmp_path / name, needs_labels=True)


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (X.astype(np.complex64), "complex numbers"),
        (np.array(["a", "b"]), "text"),
        (np.zeros(3, [("a", float)]), "records"),
        (np.float32(3), "a single number"),
        (np.array(["2020"], "datetime64[Y]"), "dates"),
        (np.array([object()], dtype=object), "Python objects"),
    ],
)
def test_arrays_of_no_numbers_are_refused(tmp_path: Path, array: np.ndarray, kind: str) -> None:
    np.savez(tmp_path / "bad.npz", x_train=array)
    assert kind in message(tmp_path / "bad.npz")


@pytest.mark.parametrize("bad", [np.array([object()] * 6, dtype=object), np.full(6, 2j), np.array(["a"] * 6)])
def test_labels_of_no_numbers_do_not_keep_inputs_from_being_used(tmp_path: Path, bad: np.ndarray) -> None:
    np.savez(tmp_path / "bad.npz", x_train=X, y_train=bad, x_test=X, y_test=bad)
    held = held_in(str(tmp_path / "bad.npz"), Takes(), needs_labels=False)
    assert np.array_equal(held.first.x[0], X)
    assert held.lacks
    message(tmp_path / "bad.npz", needs_labels=True)


def test_nothing_but_a_regular_file_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    assert "is not a regular file" in message(tmp_path / "pipe.npz")
    (tmp_path / "folder.npz").mkdir()
    assert "is not a regular file" in message(tmp_path / "folder.npz")


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x_train=X)
    content = bytearray((tmp_path / "x.npz").read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1
    (tmp_path / "x.npz").write_bytes(content)
    assert "is encrypted" in message(tmp_path / "x.npz")


def test_a_header_that_promises_more_than_is_there_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    content = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(content.replace(b"(6, 4)", b"(6, 9)"))
    assert "says that it has 216 bytes, and 96 are there" in message(tmp_path / "x.npy")
    (tmp_path / "x.npy").write_bytes(content[:40])
    assert "not an .npy file of plain arrays" in message(tmp_path / "x.npy")


def test_a_file_that_unpacks_to_far_more_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "zeros.npz", x_train=np.zeros((100_000, 8), np.float32))
    monkeypatch.setattr(archive, "BOMB_BYTES", 2**20)
    monkeypatch.setattr(archive.np, "load", None)
    assert "unpacks from " in message(tmp_path / "zeros.npz")
    assert "3.2 MB" in message(tmp_path / "zeros.npz")


def test_a_file_larger_than_memory_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "x.npz", x_train=X)
    monkeypatch.setattr(archive, "available_bytes", lambda: 100)
    monkeypatch.setattr(archive.np, "load", None)
    assert "needs 288 B of memory to be used (x_train), and 100 B are free" in message(tmp_path / "x.npz")


def test_members_that_are_no_arrays_are_passed_over(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x_train=X)
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as file:
        file.writestr("README.txt", "no array")
    assert held_in(str(tmp_path / "x.npz"), Takes(), needs_labels=False).first.x[0].shape == (6, 4)
