"""The design's table of costs and rules once more, in plain loops: what formulas, lines and queries must equal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from math import prod

from rankline.src.dse.cost import Cost
from rankline.src.dse.layer import Layer
from rankline.src.dse.options import Options


@dataclass(frozen=True)
class Configuration:
    ranks: tuple[int, ...]
    shape: str | None
    cost: Cost
    better: bool
    useful: bool

    @property
    def order(self) -> tuple[int, int, tuple[int, ...], str]:
        return self.cost.params, self.cost.fm, self.ranks, self.shape or ""


def original(layer: Layer) -> Cost:
    out = layer.positions * prod(layer.out_size)
    params = prod(layer.kernel) * layer.in_channels * layer.out_channels
    return Cost(params, out * layer.out_channels, 2 * out * params)


def configurations(layer: Layer, method: str, options: Options | None = None) -> Iterator[Configuration]:
    """Every configuration, one at a time."""
    options = options or Options()
    whole = original(layer)
    for shape, modes in _shapes(layer, method, options):
        caps = [min(cap, options.max_rank or cap) for cap in _caps(layer, method, modes)]
        values = [range(options.rank_multiple, cap + 1, options.rank_multiple) for cap in caps]
        for ranks in product(*values):
            cost = costs(layer, method, ranks, shape)
            better = cost.params < whole.params and cost.flops < whole.flops
            yield Configuration(ranks, shape, cost, better, better and _fed(ranks, modes))


def costs(layer: Layer, method: str, ranks: tuple[int, ...], shape: str | None = None) -> Cost:
    """Walks the factors one by one, counting weights, outputs and multiply-accumulates of each."""
    if method == "t3f":
        return _t3f(layer, ranks, shape or "")
    c, f, t = layer.in_channels, layer.out_channels, layer.positions
    sizes = [y if k == 1 else x for k, x, y in zip(layer.kernel, layer.in_size, layer.out_size, strict=True)]
    factors: list[tuple[int, int, int, int]] = []  # taps, inputs, outputs, positions of each factor
    k_all = prod(layer.kernel)
    if method == "tucker":
        r1, r2 = ranks
        factors = [(1, c, r1, prod(sizes)), (k_all, r1, r2, prod(layer.out_size)), (1, r2, f, prod(layer.out_size))]
    elif method in ("svd", "qr"):
        factors = [(k_all, c, ranks[0], prod(layer.out_size)), (1, ranks[0], f, prod(layer.out_size))]
    else:
        steps = [j for j, k in enumerate(layer.kernel) if k > 1]
        channels = [c, *ranks, f] if method != "cp" else [c, *ranks * (len(steps) + 1), f]
        if method == "spatial_svd":
            channels = [c, ranks[0], f]
        else:
            factors.append((1, channels[0], channels[1], prod(sizes)))
            channels = channels[1:]
        for j, (left, right) in zip(steps, pairwise(channels), strict=False):
            sizes[j] = layer.out_size[j]
            depthwise = method == "cp"
            factors.append((layer.kernel[j], 1 if depthwise else left, right, prod(sizes)))
        if method != "spatial_svd":
            factors.append((1, channels[-2], f, prod(layer.out_size)))
    params = sum(taps * left * right for taps, left, right, _ in factors)
    fm = sum(t * size * right for _, _, right, size in factors)
    macs = sum(t * size * taps * left * right for taps, left, right, size in factors)
    return Cost(params, fm, 2 * macs, len(factors))


def _t3f(layer: Layer, ranks: tuple[int, ...], shape: str) -> Cost:
    m, n = ([int(v) for v in part.split("x")] for part in shape.split(":"))
    full = (1, *ranks, 1)
    positions = layer.positions * prod(layer.out_size)
    params = fm = macs = 0
    tensor = list(n)  # contracted from the last core on: input modes left, then output modes
    rank = 1
    for core in reversed(range(len(m))):
        params += full[core] * m[core] * n[core] * full[core + 1]
        rest = prod(tensor[:core]) * prod(tensor[core + 1 :])
        macs += rest * n[core] * rank * m[core] * full[core]
        rank = full[core]
        tensor[core] = m[core]
        fm += rank * prod(tensor)
    return Cost(params, positions * fm, 2 * positions * macs, len(ranks) + 1)


def _shapes(layer: Layer, method: str, options: Options) -> Iterator[tuple[str | None, tuple[int, ...]]]:
    """Tensor shapes, with the modes of the chain of ranks (empty: ranks do not feed each other)."""
    c, f = layer.in_channels, layer.out_channels
    taps = [k for k in layer.kernel if k > 1]
    if method == "tucker":
        yield None, (c, prod(taps), f)
    elif method == "cp":
        yield None, ()
    elif method == "tt":
        yield None, (c, *taps, f)
    elif method in ("svd", "qr"):
        yield None, (prod(taps) * c, f)
    elif method == "spatial_svd":
        yield None, (taps[0] * c, taps[1] * f)
    else:
        for cores in options.t3f_cores:
            for m, n in product(_splits(f, cores), _splits(c, cores)):
                if options.t3f_order == "all" or (sorted(m, reverse=True) == list(m) and sorted(n) == list(n)):
                    text = ":".join("x".join(map(str, part)) for part in (m, n))
                    yield text, tuple(a * b for a, b in zip(m, n, strict=True))


def _splits(number: int, parts: int) -> list[tuple[int, ...]]:
    return [split for split in product(range(2, number + 1), repeat=parts) if prod(split) == number]


def _caps(layer: Layer, method: str, modes: tuple[int, ...]) -> list[int]:
    if method == "tucker":
        return [layer.in_channels, layer.out_channels]
    if method == "cp":
        return [prod(layer.kernel) * min(layer.in_channels, layer.out_channels)]
    return [min(prod(modes[:cut]), prod(modes[cut:])) for cut in range(1, len(modes))]


def _fed(ranks: tuple[int, ...], modes: tuple[int, ...]) -> bool:
    if not modes:
        return True
    full = (1, *ranks, 1)
    pairs = zip(full, modes, full[1:], strict=False)
    return all(right <= left * mode and left <= right * mode for left, mode, right in pairs)
