"""The exhaustive scanner against vectorised NumPy: the census of all of TT on a 3x3x512x512 convolution.

Run: python -m benchmarks.scan
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.record import record, seconds
from rankline.src.dse.layer import conv
from rankline.src.dse.lines import lines_of
from rankline.src.dse.options import Options
from rankline.src.dse.scan.census import census, census_of_lines
from rankline.src.dse.space import Space
from rankline.src.dse.symbols import layer_shape

SPACE = Space("tt", layer_shape(conv("conv", (3, 3), 512, 512, (8, 8))), Options())


def by_numpy() -> tuple[int, int, int]:
    """The counts of all, better and useful configurations, plane by plane of the first rank."""
    (branch,) = SPACE.branches
    c, k1, k2, f = branch.polynomials.modes
    caps = branch.polynomials.caps
    size = 64
    r2 = np.arange(1, caps[1] + 1, dtype=np.int64)[:, np.newaxis]
    r3 = np.arange(1, caps[2] + 1, dtype=np.int64)[np.newaxis, :]
    total = better = useful = 0
    for r1 in range(1, caps[0] + 1):
        params = c * r1 + k1 * r1 * r2 + k2 * r2 * r3 + r3 * f
        flops = 2 * size * params
        fits = (params < SPACE.original.params) & (flops < SPACE.original.flops)
        fed = (r2 <= k1 * r1) & (r1 <= k1 * r2) & (r3 <= k2 * r2) & (r2 <= k2 * r3)
        total += params.size
        better += int(fits.sum())
        useful += int((fits & fed).sum())
    return total, better, useful


def main(arguments: list[str] | None = None) -> None:
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    found = census(SPACE)  # compiles, or loads from numba's disk cache
    assert found == census_of_lines(lines_of(SPACE)), "the scan and the lines differ"
    counts = tuple(int(count) for count in found.counts)
    assert counts == by_numpy(), "the scan and NumPy differ"
    scan_s = seconds(lambda: census(SPACE), 7)
    numpy_s = seconds(by_numpy, 3)
    figures = {
        "configurations": counts[0],
        "better": counts[1],
        "useful": counts[2],
        "scan": {"s_median_of_7": scan_s, "configurations_per_s": counts[0] / scan_s},
        "numpy": {"s_median_of_3": numpy_s, "configurations_per_s": counts[0] / numpy_s},
        "ratio numpy / scan": numpy_s / scan_s,
    }
    print(record("scan", 0, ("numpy", "numba"), figures))
    print(f"{counts[0] / scan_s:.2e} configurations a second, {numpy_s / scan_s:.1f} times NumPy's rate")


if __name__ == "__main__":
    main()
