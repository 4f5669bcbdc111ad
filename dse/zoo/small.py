"""Whether an ImageNet network is built in its usual CIFAR variant."""

from __future__ import annotations

SMALL = 64
"""In pixels. ImageNet stems divide the size by four or more at once, which leaves nothing of a 32x32 image."""


def is_small(input_shape: tuple[int, ...]) -> bool:
    """Whether an image of shape (height, width, channels) gets the CIFAR variant."""
    return min(input_shape[:2]) < SMALL
