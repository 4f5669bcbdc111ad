"""JSON that comes from outside: files of a stated size, parsed strictly."""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import isfinite
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any, NoReturn

from rankline.src.dse.errors import UserError, short

MOST_BYTES = 256 * 2**20
"""A layers file of a million layers is smaller."""

MOST_DIGITS = 100
"""More than any number that is counted here; how large it may be is for the reader to say."""

DEEPEST = 200
"""Levels of lists and objects within each other; a model nested in models takes five each."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read_bytes(path: Path) -> bytes:
    """A regular file of at most MOST_BYTES. Raises UserError with the reason, without the path."""
    try:
        check_regular(path)
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"it is larger than {MOST_BYTES // 2**20} MiB")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise _told(error) from error


def check_regular(path: Path) -> None:
    """Raises UserError with the reason, without the path, unless it is a file that can be opened and ends."""
    try:
        mode = path.stat().st_mode
        if S_ISDIR(mode):
            raise UserError("it is a folder")
        if not S_ISREG(mode):
            raise UserError("it is a pipe or a device, not a file")
        path.open("rb").close()
    except (OSError, ValueError) as error:
        raise _told(error) from error


def _told(error: Exception) -> UserError:
    if isinstance(error, UserError):
        return error
    return UserError(getattr(error, "strerror", None) or "the path can't be that of a file")


def parsed(text: bytes | str) -> Any:
    """The value of a JSON text in UTF-8. Raises UserError with what it is instead, in a few words ("not JSON (..)").

    A key twice in one object, NaN and infinity are refused, as are endless numbers and nesting.
    """
    if isinstance(text, bytes):
        if text.startswith(_UTF_16):
            raise UserError("UTF-16 text; save it as UTF-8")
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"not UTF-8 text (byte {error.start})") from error
    try:
        found = json.loads(
            text, parse_int=_whole, parse_float=_real, parse_constant=_no_number, object_pairs_hook=_object
        )
    except json.JSONDecodeError as error:
        raise UserError(f"not JSON ({error})") from error
    except RecursionError as error:
        raise _too_deep() from error
    _check_depth(found)
    return found


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise UserError(f"not sensible JSON (a number of {len(digits):,} digits)")
    return int(digits)


def _real(digits: str) -> float:
    if not isfinite(found := float(digits)):
        raise UserError(f"not sensible JSON ({short(digits)} is beyond all numbers)")
    return found


def _no_number(name: str) -> NoReturn:
    raise UserError(f"not JSON ({name} is no number there)")


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise UserError(f"not clear (the key {short(key)} appears twice in one object)")
        found[key] = value
    return found


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> UserError:
    return UserError(f"not sensible JSON (nested more than {DEEPEST} deep)")
