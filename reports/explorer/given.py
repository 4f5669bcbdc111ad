"""Checks of what a browser sends, because any page can send anything."""

from __future__ import annotations

from typing import Any

from dash import ctx

from rankline.src.dse.errors import UserError, one_of
from rankline.src.dse.precision import ELEMENT_BYTES, F32


def text(what: str, value: Any) -> str:
    """The value, if it is a text that a database can hold. Raises UserError, which calls it ``what``."""
    if not isinstance(value, str) or not _is_encodable(value):
        raise UserError(f"a {what} is a text; got {shown(value)}")
    return value


def texts(what: str, values: Any) -> tuple[str, ...]:
    """The values, if they are distinct texts. Raises UserError."""
    if not isinstance(values, list | tuple):
        raise UserError(f"{what}s are a list of texts; got {shown(values)}")
    found = tuple(text(what, value) for value in values)
    if len(set(found)) < len(found):
        raise UserError(f"each {what} may be named once; got {shown(values)}")
    return found


def precision_named(name: Any) -> str:
    """The precision of memory that a page gives; single where it gives none. Raises UserError for an unknown one."""
    if name is None:
        return F32.name
    if text("precision", name) not in ELEMENT_BYTES:
        raise one_of("precision of memory", name, list(ELEMENT_BYTES))
    return str(name)


def pressed() -> Any:
    """Inside a callback, the id of the button that was pressed; None if it was called for another reason."""
    return ctx.triggered_id if any(one["value"] for one in ctx.triggered) else None


def shown(value: Any) -> str:
    """The start of a value, for a message."""
    return ascii(value)[:60]


def _is_encodable(value: str) -> bool:
    """Whether a text can be encoded: JSON can hold half of a surrogate pair, which can't."""
    return not any("\ud800" <= one <= "\udfff" for one in value)
