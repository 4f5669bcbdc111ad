"""What weights take more in a network than in an operation that runs alone, which finds them in the cache."""

from __future__ import annotations

from statistics import median

import numpy as np

from rankline.src.compress.deploy.chain_models import chain_model
from rankline.src.compress.deploy.chains import Chain
from rankline.src.compress.deploy.runtime import AS_USUAL, Calls, Runtime
from rankline.src.compress.deploy.timing import timed
from rankline.src.dse.layer import conv, dense
from rankline.src.dse.progress import Progress, no_progress

MIB = 2**20

SIZES = tuple(MIB * size for size in (1, 2, 4, 8, 16, 24, 32, 48, 64, 128))
"""Bytes that are read between two uses of the weights."""

SECONDS = 1.0
"""The longest for one of SIZES."""

HEAVY = (
    Chain(dense("dense_a", 1024, 1024)),
    Chain(dense("dense_b", 512, 1024)),
    Chain(conv("pointwise", (1, 1), 512, 512, (4, 4))),
    Chain(conv("conv_a", (3, 3), 256, 256, (4, 4))),
    Chain(conv("conv_b", (3, 3), 128, 256, (8, 8))),
)
"""Layers with many weights for what they read and make."""


def cold_weights(
    runtime: Runtime, calls: Calls = AS_USUAL, progress: Progress = no_progress
) -> tuple[tuple[int, float], ...]:
    """Pairs of bytes and picoseconds for ``LatencyModel.cold``: how much longer each weight takes where so many bytes
    of something else were read since it was last used; the median of several layers, never falling.

    Raises UserError as ``Runtime.export`` does.
    """
    contents = runtime.parts([chain_model(chain, calls.batch) for chain in HEAVY], calls.batch, calls.precision)
    functions = {
        chain: runtime.load(content, calls.threads).call for chain, content in zip(HEAVY, contents, strict=True)
    }
    near = timed(functions, SECONDS)
    found, most = [(0, 0.0)], 0.0
    for number, size in enumerate(SIZES):
        progress("weights out of the cache", number, len(SIZES))
        other = np.ones(size // 4, np.float32)
        far = timed(functions, SECONDS, between=other.sum)
        more = [(far[chain].minimum - near[chain].minimum) / _weights(chain) for chain in HEAVY]
        most = max(most, median(more))
        found.append((size, round(most, 3)))
    return tuple(found)


def _weights(chain: Chain) -> int:
    return sum(link.params for link in chain.links())
