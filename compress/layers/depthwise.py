"""A depthwise convolution along one axis: Keras has none in 3-D, with causal padding, or with unequal strides."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import keras
from keras import ops

PADDINGS = ("valid", "same", "causal")


@keras.saving.register_keras_serializable(package="rankline")
class DepthwiseAlongAxis(keras.layers.Layer):  # type: ignore[misc]
    """Each channel convolved with its own K weights along one spatial axis, as K shifted multiply-adds.

    y[.., i, .., c] = sum over k < K of w[k, c] x[.., i s + k d - p, .., c] with stride s, dilation d and p zeros in
    front, as in Keras's convolutions: none (valid), (K - 1) d (causal), or half the padding that makes the output
    ceil(n / s) long, rounded down (same). Lebedev et al., ICLR 2015, equations (6) and (7).

    axis: the spatial axis, counted from 0 without batch and channels. The input may have any number of spatial axes.
    """

    def __init__(
        self,
        axis: int,
        kernel_size: int,
        strides: int = 1,
        padding: str = "valid",
        dilation_rate: int = 1,
        data_format: str = "channels_last",
        depthwise_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if padding not in PADDINGS:
            raise ValueError(f"padding must be one of {', '.join(PADDINGS)}; got '{padding}'")
        self.axis, self.kernel_size, self.strides, self.padding = axis, kernel_size, strides, padding
        self.dilation_rate, self.data_format = dilation_rate, data_format
        self.depthwise_initializer = keras.initializers.get(depthwise_initializer)

    def build(self, input_shape: Sequence[int | None]) -> None:
        if not 0 <= self.axis < len(input_shape) - 2:
            raise ValueError(
                f"layer '{self.name}' can't take axis {self.axis} of an input of shape {tuple(input_shape)}"
            )
        channels = input_shape[1 if self._channels_first else -1]
        self.kernel = self.add_weight(
            name="kernel", shape=(self.kernel_size, channels), initializer=self.depthwise_initializer
        )
        self.built = True

    def call(self, inputs: Any) -> Any:
        place, rank = self._place, len(inputs.shape)
        size = ops.shape(inputs)[place]
        outputs = self._out_size(size)
        before, after = self._zeros(size, outputs)
        x = ops.pad(inputs, [(before, after) if j == place else (0, 0) for j in range(rank)])
        taps = (
            ops.reshape(self.kernel, (self.kernel_size, -1, *(1,) * (rank - 2)))
            if self._channels_first
            else self.kernel
        )
        reach = (outputs - 1) * self.strides + 1
        total = None
        for k in range(self.kernel_size):
            start = k * self.dilation_rate
            window = (*(slice(None),) * place, slice(start, start + reach, self.strides))
            term = ops.multiply(x[window], taps[k])
            total = term if total is None else ops.add(total, term)
        return total

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        shape = list(input_shape)
        size = shape[self._place]
        shape[self._place] = None if size is None else self._out_size(size)
        return tuple(shape)

    def macs(self, input_shape: Sequence[int], output_shape: Sequence[int]) -> int:
        """Multiply-accumulates for one sample, given its shapes without the batch axis."""
        return self.kernel_size * prod(output_shape)

    def feature_map_elements(self, input_shape: Sequence[int], output_shape: Sequence[int]) -> int:
        """Elements of the output of one sample, given its shapes without the batch axis."""
        return prod(output_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": self.dilation_rate,
            "data_format": self.data_format,
            "depthwise_initializer": keras.initializers.serialize(self.depthwise_initializer),
        }

    @property
    def _channels_first(self) -> bool:
        return self.data_format == "channels_first"

    @property
    def _place(self) -> int:
        """The tensor axis of the convolution."""
        return self.axis + (2 if self._channels_first else 1)

    @property
    def _extent(self) -> int:
        """Number of positions from the first weight to the last."""
        return (self.kernel_size - 1) * self.dilation_rate + 1

    def _out_size(self, size: Any) -> Any:
        return (size - self._extent) // self.strides + 1 if self.padding == "valid" else -(-size // self.strides)

    def _zeros(self, size: Any, outputs: Any) -> tuple[Any, Any]:
        """Number of zeros padded before and after, along the axis."""
        if self.padding == "valid":
            return 0, 0
        if self.padding == "causal":
            return self._extent - 1, 0
        missing = (outputs - 1) * self.strides + self._extent - size
        missing = max(missing, 0) if isinstance(missing, int) else ops.maximum(missing, 0)
        return missing // 2, missing - missing // 2
