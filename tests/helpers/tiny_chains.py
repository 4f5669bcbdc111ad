"""A handful of tiny chains, so that devices are measured in seconds."""

from __future__ import annotations

import numpy as np

from rankline.src.compress.deploy.chains import Chain
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.layer import conv, dense


def tiny_chains(number: int = 24, pads: bool = False, seed: int = 0) -> list[Chain]:
    """Convolutions, dense layers, and their chains by Tucker and SVD, in turn."""
    rng = np.random.default_rng(seed)
    found = []
    for j in range(number):
        inputs, outputs = (int(count) for count in rng.integers(2, 9, size=2))
        ranks = (16, 16) if pads else (2, 2)
        layer = dense(f"c{j}", inputs, outputs) if j % 4 > 1 else conv(f"c{j}", (3, 3), inputs, outputs, (6, 6))
        method = ("tucker", ranks) if j % 4 < 2 else ("svd", ranks[:1])
        found.append(Chain(layer, Configuration(*method) if j % 2 else None))
    return found
