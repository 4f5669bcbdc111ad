"""Arrays from .npz and .npy files. Nothing in a file is run, and nothing is unpacked before its size is known."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from rankline.src.compress.data.arrays import Array, check_kind
from rankline.src.compress.data.memory import available_bytes
from rankline.src.dse.errors import UserError
from rankline.src.dse.numbers import si

ENDINGS = (".npz", ".npy")

LONE = "x"
"""The name of the array of an .npy file."""

COPIES = 8
"""Bytes for each value that are needed beside the file's own: the scaled inputs in float32, and a copy of them while
they are split or shuffled."""

BOMB_RATIO, BOMB_BYTES = 250, 2**30
"""A file that unpacks to more than so many bytes, and so many times its size, says nothing that is worth reading."""


@dataclass(frozen=True)
class Header:
    """What a file says about an array: its shape and dtype, and its size in the file in bytes."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    packed: int

    @property
    def bytes(self) -> int:
        """The bytes of its values."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def needed(self) -> int:
        """The bytes of memory that using it as inputs takes."""
        return prod(self.shape) * (self.dtype.itemsize + COPIES)


def headers_of(path: Path, possible: str) -> dict[str, Header]:
    """The arrays of a file by name. possible: ends the error where there is no such file.

    Raises UserError for anything but a regular file of arrays.
    """
    with _plain_arrays(path, possible):
        if path.suffix == ".npy":
            with path.open("rb") as file:
                return {LONE: _header(file, path, LONE, os.path.getsize(path), os.path.getsize(path))}
        with zipfile.ZipFile(path) as archive:
            found = {}
            for one in archive.infolist():
                if one.filename.endswith(".npy"):
                    if one.flag_bits & 1:
                        raise UserError(f"{path} is encrypted; save its arrays anew with numpy.savez")
                    with archive.open(one) as member:
                        name = one.filename.removesuffix(".npy")
                        found[name] = _header(member, path, name, one.file_size, one.compress_size)
            return found


def read(path: Path, headers: dict[str, Header], names: Sequence[str]) -> dict[str, Array]:
    """Arrays of a file, of which ``headers_of`` has told. Raises UserError, also where memory doesn't suffice."""
    wanted = {name: headers[name] for name in names}
    for name, one in wanted.items():
        if one.dtype.hasobject:
            raise _not_plain(path, f"{name} holds Python objects, which could run code")
        check_kind(one.dtype, one.shape, f"{path}: {name}")
    _check_size(path, wanted)
    with _plain_arrays(path, ""):
        if path.suffix == ".npy":
            return {LONE: np.load(path, allow_pickle=False)}
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}


def _header(file: IO[bytes], path: Path, name: str, size: int, packed: int) -> Header:
    """Reads the header of an array. size: of the header and the values."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise UserError(f"{path}: {name} is of a version of .npy that is not known, {version}; save it anew")
    shape, _, dtype = readers[version](file)
    found = Header(tuple(shape), dtype, packed)
    if not dtype.hasobject and found.bytes != size - file.tell():
        raise UserError(
            f"{path}: {name} says that it has {found.bytes:,} bytes, and {max(0, size - file.tell()):,} are there; "
            "save it anew"
        )
    return found


def _check_size(path: Path, wanted: dict[str, Header]) -> None:
    unpacked, packed = sum(one.bytes for one in wanted.values()), sum(one.packed for one in wanted.values())
    if unpacked > BOMB_BYTES and unpacked > BOMB_RATIO * packed:
        raise UserError(
            f"{path} unpacks from {si(packed, 'B')} to {si(unpacked, 'B')}, nearly all of it repetition; give some "
            "hundreds or thousands of real samples"
        )
    needed, free = sum(one.needed for one in wanted.values()), available_bytes()
    if free is not None and needed > free:
        raise UserError(
            f"{path} needs {si(needed, 'B')} of memory to be used ({', '.join(wanted)}), and {si(free, 'B')} are free; "
            "give fewer samples"
        )


@contextmanager
def _plain_arrays(path: Path, possible: str) -> Iterator[None]:
    """Errors of reading a file as UserError."""
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path} is not a regular file; give one that numpy.savez wrote")
        yield
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"there is no file {path}; possible data: {possible}") from None
    except PermissionError:
        raise UserError(f"{path} can't be read: permission denied") from None
    except MemoryError:
        raise UserError(f"{path} has more than fits into memory; give fewer samples") from None
    except (ValueError, OSError, EOFError, RuntimeError, NotImplementedError, KeyError, TypeError, SyntaxError,
            zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
        damaged = isinstance(error, OSError | zlib.error | zipfile.BadZipFile)
        reason = "it is damaged" if damaged else " ".join(str(error).split())[:160] or type(error).__name__
        raise _not_plain(path, reason) from error


def _not_plain(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is not an {path.suffix} file of plain arrays ({reason})")
