"""Rankline's own Keras layers. Importing this registers them, so that Keras can load models that have them."""

from rankline.src.compress.layers.depthwise import DepthwiseAlongAxis
from rankline.src.compress.layers.tt_matrix import TTMatrix

__all__ = ["DepthwiseAlongAxis", "TTMatrix"]
