"""What every row that leaves the database can do."""

from __future__ import annotations

from collections.abc import KeysView
from dataclasses import fields
from typing import Any, ClassVar


class Row:
    """A frozen dataclass of what is on record; ``row["name"]`` and ``dict(row)`` give what ``as_dict`` does."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def keys(self) -> KeysView[str]:
        """The names of the values."""
        return self.as_dict().keys()

    def __getitem__(self, name: str) -> Any:
        return self.as_dict()[name]
