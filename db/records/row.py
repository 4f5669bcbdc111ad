"""The interface of every row that the database returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, ClassVar


class Row(Mapping[str, Any]):
    """A frozen dataclass of what is on record; as a mapping (``row["name"]``) it is what ``as_dict`` gives."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def __getitem__(self, name: str) -> Any:
        return self.as_dict()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.as_dict())

    def __len__(self) -> int:
        return len(self.as_dict())
