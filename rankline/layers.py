"""Keras layers of Rankline's own. Importing this registers them, so that plain Keras loads models that have them."""

from rankline.src.compress.layers.depthwise import DepthwiseAlongAxis
from rankline.src.compress.layers.tt_matrix import TTMatrix

__all__ = ["DepthwiseAlongAxis", "TTMatrix"]
