"""Files that are nearly right: values of a valid JSON text replaced by odd ones, and bytes of a valid file changed."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 3, 1.5, 1e300, float("nan"), float("-inf"), 2**31, 2**63, -(2**63) - 1, 10**30,
    10**300, "", "1", "same", "x" * 3000, "\x1b[2J\x9b", "a\nb", "\ud800", "\0", "../..", "=1+1", [], {}, [[]], [1.5],
    [0], [3, 3], [1] * 20, [2**40, 2], {"a": 1}, {"class_name": "Lambda", "config": {}},
)  # fmt: skip

FITTING = (1, 2, 4, 6, [2, 2], [1], True, "valid", "other")
"""Values that may do as well as those that they replace."""


def odd_json(valid: Any, chance: random.Random) -> str:
    """JSON text with one to three values or keys of ``valid`` replaced, removed, or given twice."""
    value = copy.deepcopy(valid)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        places = list(_places(value))
        holder, key = chance.choice(places)
        match chance.randrange(6):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[chance.choice(("extra", "", "kept_because", "positions", "\ud800"))] = chance.choice(ODD)
            case 1:
                holder.append(copy.deepcopy(holder[key]))
            case _:
                holder[key] = copy.deepcopy(chance.choice(ODD)) if chance.random() < 0.6 else chance.choice(FITTING)
    return json.dumps(value)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in lists and objects, as the holder and its key."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])
    if isinstance(value, list) and not value:
        value.append(0)
        yield value, 0


def odd_bytes(valid: bytes, chance: random.Random) -> bytes:
    """The bytes with some changed, removed or inserted, cut short, or in another encoding."""
    found = bytearray(valid)
    match chance.randrange(7):
        case 0:
            del found[chance.randrange(len(found)) :]
        case 1:
            start = chance.randrange(len(found))
            del found[start : start + chance.randrange(1, 50)]
        case 2:
            start = chance.randrange(len(found))
            found[start:start] = chance.randbytes(chance.randrange(1, 50))
        case 3 if len(valid) < 5000:
            return valid.decode("latin-1").encode(chance.choice(("utf-16", "utf-32", "utf-8-sig")))
        case _:
            for _ in range(chance.choice((1, 3, 30))):
                found[chance.randrange(len(found))] = chance.randrange(256)
    return bytes(found)
