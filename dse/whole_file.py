"""Atomic writes: a file is written beside its target and then renamed. All files are written through here."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path

from rankline.src.dse.errors import UserError
from rankline.src.dse.process import Process, this_host

_ADVICE = {errno.ENOSPC: "make room there, and run the same again"}
_OTHER_ADVICE = "name a file in a folder that you can write"

_STEM = 40
"""Characters of the target's name that its draft keeps, so that a long name doesn't become too long."""

_numbers = count()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary file that replaces ``path`` if the block succeeds, and is removed if it fails.

    It has the same suffix. Where ``path`` is a link, the file that it leads to is replaced. Raises UserError if the
    system can't write it, and if ``path`` is a folder, a pipe or a device.
    """
    try:
        check_file(path)
        with _beside(Path(os.path.realpath(path))) as partial:
            yield partial
    except OSError as error:
        raise _refused(str(path), path.parent, error) from error


def check_file(path: Path) -> None:
    """Raises UserError where ``path`` is there and is no file that could be replaced."""
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; name a file")
    if path.exists() and not path.is_file():
        raise UserError(f"cannot write {path}: it is a pipe or a device, not a file; name a file")


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically. Raises UserError if it can't be written."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_texts(folder: Path, texts: dict[str, str]) -> list[Path]:
    """Writes text files into a folder, which is created if missing, each atomically; returns their paths.

    Raises UserError if they can't be written.
    """
    make_folder(folder)
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def make_folder(folder: Path) -> None:
    """Creates a folder if it is missing. Raises UserError if it can't be created."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror}; name a folder that you can write") from error


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    _clear(path.parent)
    partial = path.with_name(f".{path.stem[:_STEM]}.{_host()}-{os.getpid()}-{next(_numbers)}.part{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _clear(folder: Path) -> None:
    """Removes the drafts that processes of this host left in a folder when they were killed."""
    drafts = re.compile(rf"\..*\.{_host()}-(\d+)-\d+\.part")
    with suppress(OSError):
        for entry in os.scandir(folder):
            named = drafts.match(entry.name)
            if named and Process(this_host(), int(named[1])).is_gone:
                with suppress(OSError):
                    os.unlink(entry)


@cache
def _host() -> str:
    return hashlib.sha256(this_host().encode()).hexdigest()[:8]


def _refused(what: str, folder: Path, error: OSError) -> UserError:
    """The system's reason, with what to do; a full disk is told as one, whatever a library made of it."""
    reason, number = error.strerror or str(error), error.errno
    with suppress(OSError):
        if number is None and os.statvfs(folder).f_bavail == 0:
            reason, number = os.strerror(errno.ENOSPC), errno.ENOSPC
    return UserError(f"cannot write {what}: {reason}; {_ADVICE.get(number or 0, _OTHER_ADVICE)}")
