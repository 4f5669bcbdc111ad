"""Keyword arguments as changes to settings: each goes to the settings that have a field of that name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from rankline.src.dse.errors import one_of


def with_changes(changes: Mapping[str, Any], *settings: Any) -> list[Any]:
    """The settings (frozen dataclasses), each with the changes to its own fields.

    Raises UserError for a name that is a field of none of them.
    """
    names = [{field.name for field in fields(one)} for one in settings]
    for name in changes:
        if not any(name in some for some in names):
            raise one_of("setting", name, sorted(set().union(*names)))
    return [
        replace(one, **{name: value for name, value in changes.items() if name in some}) if some & set(changes) else one
        for one, some in zip(settings, names, strict=True)
    ]
