"""The latency of a chain as a polynomial in its ranks, exact in picoseconds.

An operation takes a + b MACs + c inputs + d outputs + e weights, with one set of numbers for each kind of operation,
where channels are counted in the tiles that the runtime's kernels work in. So the latency is affine in each rank and
in each rank's number of tiles, and along a rank line it is start + slope * k + rise * ceil(step * k / tile).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from rankline.src.dse.devices.operations import Channels, Operation
from rankline.src.dse.errors import UserError

TERMS = ("each", "mac", "input", "output", "weight")
"""What a kind's numbers are for: each operation, multiply-accumulate, element read, element made, and weight."""

ALIGNED = 4
"""Runtimes that pad have slower kernels for numbers of channels that aren't multiples of it (ONNX Runtime's MLAS)."""

TILED = 8
"""Bit j of a monomial's mask stands for rank j, bit TILED + j for its number of tiles."""


class UnmeasuredError(UserError):
    """A device has no numbers for a kind of operation.

    lacking: the device and the kind; way: what it has, and what can be done.
    """

    def __init__(self, lacking: str, way: str = "") -> None:
        super().__init__(lacking + way)
        self.lacking = lacking


@dataclass(frozen=True)
class TiledPolynomial:
    """Integer monomials in the ranks and their numbers of tiles: the sum of coefficients[t] * prod of masks[t]."""

    tile: int
    masks: tuple[int, ...]
    coefficients: tuple[int, ...]

    def at(self, ranks: Sequence[int]) -> int:
        """The exact value, in picoseconds."""
        values = (*ranks, *[0] * (TILED - len(ranks)), *(-(-rank // self.tile) for rank in ranks))
        return sum(
            coefficient * prod(value for bit, value in enumerate(values) if mask >> bit & 1)
            for mask, coefficient in zip(self.masks, self.coefficients, strict=True)
        )

    def along(self, ranks: NDArray[np.int64], free: int, step: int) -> NDArray[np.int64]:
        """Start, slope and rise (3, lines): at k it is start + slope * k + rise * ceil(step * k / tile).

        ranks: (lines, ranks), whose column ``free`` is not used.
        """
        found = np.zeros((3, len(ranks)), np.int64)
        tiles = -(-ranks // self.tile)
        for mask, coefficient in zip(self.masks, self.coefficients, strict=True):
            value = np.full(len(ranks), coefficient, np.int64)
            for j in range(ranks.shape[1]):
                if j != free and mask >> j & 1:
                    value *= ranks[:, j]
                if j != free and mask >> (TILED + j) & 1:
                    value *= tiles[:, j]
            is_plain, is_tiled = mask >> free & 1, mask >> (TILED + free) & 1
            found[2 if is_tiled else 1 if is_plain else 0] += value * (step if is_plain else 1)
        return found


@dataclass(frozen=True)
class LatencyModel:
    """What a device takes for operations.

    - ``device``: its name
    - ``tile``: output channels are counted in multiples of it
    - ``pads``: whether input channels are too, because ranks are padded with zeros when a model is exported
    - ``call``: picoseconds of a call, whatever it runs
    - ``numbers``: picoseconds in the order of TERMS, by kind of operation (see ``kind_of``)
    - ``bytes_per_weight``: in the runtime's file
    - ``cold``: what each weight takes more, in picoseconds, where so many bytes of others are read between two uses of
        it: pairs of both, the bytes rising; operations that run alone find their weights in the cache
    """

    device: str
    tile: int
    pads: bool
    call: int
    numbers: tuple[tuple[str, tuple[float, ...]], ...]
    cold: tuple[tuple[int, float], ...] = ()
    bytes_per_weight: int = 4

    def cold_rate(self, params: int) -> float:
        """What each weight of a network of ``params`` weights takes more than in an operation that runs alone,
        in picoseconds: between the measured points linear, beyond them as at the nearest."""
        if not self.cold:
            return 0.0
        sizes, rates = zip(*self.cold, strict=True)
        return float(np.interp(self.bytes_per_weight * params, sizes, rates))

    def beside(self, params: int) -> int:
        """What all ``params`` weights of a network take more together, in picoseconds."""
        return round(self.cold_rate(params) * params)

    def kind_of(self, operation: Operation) -> str:
        """The operation's kind; if the runtime pads, with what makes a layer's own channels slower than padded ones."""
        if not self.pads or operation.kind in ("dense", "core"):
            return operation.kind
        few = not operation.is_depthwise and operation.inputs.rank is None and operation.inputs.count < self.tile
        sides = (operation.outputs,) if few else (operation.outputs, operation.inputs)
        odd = any(side.rank is None and side.count % ALIGNED for side in sides)
        return operation.kind + ", few inputs" * few + ", odd channels" * odd

    def polynomial(self, operations: Iterable[Operation]) -> TiledPolynomial:
        """The latency of operations that run one after the other in a model, without the call.

        Raises UnmeasuredError for a kind of operation that was not measured.
        """
        known = dict(self.numbers)
        found: dict[int, float] = defaultdict(float)
        for operation in operations:
            kind = self.kind_of(operation)
            if kind not in known:
                raise UnmeasuredError(
                    f"device '{self.device}' has no numbers for the operation '{kind}'",
                    f", only for {', '.join(known)}; choose other methods or layers, or measure the device again",
                )
            for number, (amount, mask) in zip(known[kind], self._monomials(operation), strict=True):
                found[mask] += number * amount
        terms = {mask: round(value) for mask, value in sorted(found.items())}
        return TiledPolynomial(self.tile, tuple(terms), tuple(terms.values()))

    def amounts(self, operation: Operation, ranks: Sequence[int]) -> list[int]:
        """How much of each of TERMS an operation has at these ranks."""
        return [TiledPolynomial(self.tile, (mask,), (amount,)).at(ranks) for amount, mask in self._monomials(operation)]

    def _monomials(self, operation: Operation) -> Iterator[tuple[int, int]]:
        """Amount and mask of each of TERMS."""
        few = "few" in self.kind_of(operation)
        ins, in_mask = self._counted(operation.inputs, self.pads and not few)
        # Our own layers are shifted multiply-adds, which work on elements, not on tiles of channels.
        outs, out_mask = self._counted(operation.outputs, self.pads or "own" not in operation.kind)
        weights, mask = (outs, out_mask) if operation.is_depthwise else (ins * outs, in_mask | out_mask)
        yield 1, 0
        yield operation.out_places * operation.taps * weights, mask
        yield operation.in_places * ins, in_mask
        yield operation.out_places * outs, out_mask
        yield operation.taps * weights, mask

    def _counted(self, side: Channels, in_tiles: bool) -> tuple[int, int]:
        """A number of channels as a factor and a mask: in tiles, if it is not a multiple of a rank."""
        if side.rank is None:
            return (-(-side.count // self.tile) * self.tile if in_tiles else side.count), 0
        if in_tiles and side.count == 1:
            return self.tile, 1 << (TILED + side.rank)
        return side.count, 1 << side.rank
