"""The registry of decompositions: adding one takes its file and one line here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from rankline.src.dse import methods
from rankline.src.dse.errors import UserError

if TYPE_CHECKING:
    from rankline.src.compress.methods.method import Decomposition

CLASSES = {
    "tucker": "Tucker",
    "cp": "CP",
    "tt": "TT",
    "svd": "SVD",
    "spatial_svd": "SpatialSVD",
    "qr": "QR",
    "t3f": "T3F",
}
"""The class of each method, in the file of the method's name: loaded at first use, because Keras takes seconds."""


class _Decompositions(Mapping[str, "Decomposition"]):
    def __getitem__(self, name: str) -> Decomposition:
        return _made(name, CLASSES[name])

    def __contains__(self, name: object) -> bool:
        return name in CLASSES

    def __iter__(self) -> Iterator[str]:
        return iter(CLASSES)

    def __len__(self) -> int:
        return len(CLASSES)


DECOMPOSITIONS: Mapping[str, Decomposition] = _Decompositions()


def known(name: str) -> str:
    """The name of a method that there is a decomposition for. Raises UserError with the possible ones."""
    known = methods.get(name).name
    if known not in CLASSES:
        raise UserError(
            f"method '{name}' can be explored, but not factorized by it yet. Possible: {', '.join(CLASSES)}"
        )
    return known


def get(name: str) -> Decomposition:
    """The decomposition of that name. Raises UserError with the possible ones."""
    return DECOMPOSITIONS[known(name)]


@cache
def _made(name: str, class_name: str) -> Decomposition:
    found: Decomposition = getattr(import_module(f"{__name__}.{name}"), class_name)()
    return found
