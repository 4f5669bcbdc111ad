"""The layers and counts in the tables of the literature, as printed.

The published design-space framework for Tucker, CP, TT (convolutions) and SVD, QR, T3F (dense layers), Tables II and
III. It rounds counts down. Feature maps are 8 wide here; counts don't depend on that, except for stride and borders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rankline.src.dse.layer import Layer, conv, dense

CONV_METHODS = ("tucker", "cp", "tt")
DENSE_METHODS = ("svd", "qr", "t3f")

LONGEST_SECONDS = 28_872
"""The longest time in the literature for generating one space of one layer."""


@dataclass(frozen=True)
class Counts:
    """Published counts of all and of better solutions, such as 1.3E+5."""

    all: str
    better: str


@dataclass(frozen=True)
class Case:
    """A layer of the tables, named by kernel, inputs and outputs, with the published counts by method."""

    title: str
    stride: int | None
    layer: Layer
    methods: tuple[str, ...]
    published: Mapping[str, Counts] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The title, and the stride of a convolution."""
        return self.title if self.stride is None else f"{self.title}, stride {self.stride}"


def agrees(number: int, published: str) -> bool:
    """Whether the number, rounded down to the digits of ``published`` (such as 7.6E+2), equals it."""
    mantissa, exponent = published.split("E")
    digits = mantissa.replace(".", "")
    own = str(number)
    return len(own) - 1 == int(exponent) and own[: len(digits)].ljust(len(digits), "0") == digits


_CONV_2D = {
    "tucker": Counts("1.3E+5", "1.2E+5"),
    "cp": Counts("2.3E+3", "7.6E+2"),
    "tt": Counts("1.0E+8", "5.5E+7"),
}
_CONV_1D = {
    "tucker": Counts("5.2E+5", "4.1E+5"),
    "cp": Counts("1.5E+3", "1.0E+3"),
    "tt": Counts("5.2E+5", "4.1E+5"),
}
_SMALL = dict.fromkeys(("svd", "qr"), Counts("1E+2", "9E+1"))
_LARGE = dict.fromkeys(("svd", "qr"), Counts("5E+2", "2E+2"))

CASES = (
    Case("conv (3,3,256,512)", 1, conv("a", (3, 3), 256, 512, (8, 8)), CONV_METHODS, _CONV_2D),
    Case("conv (3,3,256,512)", 2, conv("b", (3, 3), 256, 512, (8, 8), 2), CONV_METHODS, _CONV_2D),
    Case("conv 1-D (3,512,1024)", 1, conv("c", (3,), 512, 1024, (8,)), CONV_METHODS, _CONV_1D),
    Case("dense (400,120)", None, dense("d", 400, 120), DENSE_METHODS, _SMALL),
    Case("dense (512,512)", None, dense("e", 512, 512), DENSE_METHODS, _LARGE),
)
