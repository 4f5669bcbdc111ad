"""When a network for ImageNet is built in the form that the literature gives it for CIFAR."""

from __future__ import annotations

SMALL = 64
"""Pixels. ImageNet's stems divide the size by four or more at once, which leaves nothing of a 32x32 image."""


def is_small(input_shape: tuple[int, ...]) -> bool:
    """Whether an image of shape (height, width, channels) gets the CIFAR form."""
    return min(input_shape[:2]) < SMALL
