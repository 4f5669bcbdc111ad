"""A dense layer or 1x1 convolution whose kernel is a TT-matrix: Keras has none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import prod
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="rankline")
class TTMatrix(keras.layers.Layer):  # type: ignore[misc]
    """``activation(x W + b)`` on the channel axis at any number of positions, with W in the TT-matrix format.

    W(n, m) = G_1[m_1, n_1] .. G_d[m_d, n_d] with cores G_t (r_{t-1}, m_t, n_t, r_t): Novikov et al., "Tensorizing
    Neural Networks", NeurIPS 2015, section 4. The last core is contracted first, as in t3f, which makes the feature
    maps and FLOPs those of ``dse.methods.t3f``.

    output_modes, input_modes: m_1..m_d and n_1..n_d, whose products are the numbers of outputs and inputs;
    ranks: r_1 .. r_{d-1};
    strides: for a 1x1 convolution, one for each axis between batch and channels; empty for a dense layer, which takes
        any number of axes;
    data_format: the position of a convolution's channel axis.
    """

    def __init__(
        self,
        output_modes: Sequence[int],
        input_modes: Sequence[int],
        ranks: Sequence[int],
        strides: Sequence[int] = (),
        data_format: str = "channels_last",
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        bias_regularizer: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_modes, self.input_modes = tuple(output_modes), tuple(input_modes)
        self.ranks, self.strides, self.data_format = tuple(ranks), tuple(strides), data_format
        if not len(self.output_modes) == len(self.input_modes) == len(self.ranks) + 1:
            raise ValueError(
                f"a TT-matrix of d cores has d output modes, d input modes and d - 1 ranks; got {self.output_modes}, "
                f"{self.input_modes} and {self.ranks}"
            )
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    @property
    def units(self) -> int:
        """M, the number of outputs."""
        return prod(self.output_modes)

    def build(self, input_shape: Sequence[int | None]) -> None:
        channels = input_shape[self._channel_axis]
        if channels != prod(self.input_modes) or (self.strides and len(input_shape) != len(self.strides) + 2):
            raise ValueError(
                f"layer '{self.name}' has input modes {self.input_modes} and strides {self.strides}; it can't take an "
                f"input of shape {tuple(input_shape)}"
            )
        bounds = pairwise((1, *self.ranks, 1))
        self.cores = [
            self.add_weight(name=f"core_{t}", shape=(left, m, n, right), initializer=self.kernel_initializer)
            for t, (m, n, (left, right)) in enumerate(
                zip(self.output_modes, self.input_modes, bounds, strict=True), start=1
            )
        ]
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.built = True

    def call(self, inputs: Any) -> Any:
        x = ops.moveaxis(inputs, 1, -1) if self._channels_first else inputs
        if self.strides:
            x = x[(slice(None), *(slice(None, None, stride) for stride in self.strides))]
        positions = ops.shape(x)[:-1]
        x = ops.reshape(self._times_cores(x), (*positions, self.units))
        if self.use_bias:
            x = ops.add(x, self.bias)
        if self._channels_first:
            x = ops.moveaxis(x, -1, 1)
        return self.activation(x)

    def _times_cores(self, x: Any) -> Any:
        """x W at every position.

        After core t the axes are: position, the outputs (m_t, .., m_d), the inputs (n_1, .., n_{t-1}), r_{t-1}.
        """
        outputs, inputs = 1, prod(self.input_modes)
        for core in reversed(self.cores):
            left, m, n, right = core.shape
            inputs //= n
            matrix = ops.reshape(ops.transpose(core, (2, 3, 1, 0)), (n * right, m * left))
            x = ops.matmul(ops.reshape(x, (-1, n * right)), matrix)
            x = ops.transpose(ops.reshape(x, (-1, outputs, inputs, m, left)), (0, 3, 1, 2, 4))
            outputs *= m
        return x

    def macs(self, input_shape: Sequence[int], output_shape: Sequence[int]) -> int:
        """Multiply-accumulates for one sample, given its shapes without the batch axis."""
        return self._positions(output_shape) * sum(elements * length for elements, length in self._products())

    def feature_map_elements(self, input_shape: Sequence[int], output_shape: Sequence[int]) -> int:
        """Elements of all maps that the cores produce for one sample, given its shapes without the batch axis."""
        return self._positions(output_shape) * sum(elements for elements, _ in self._products())

    def _positions(self, output_shape: Sequence[int]) -> int:
        return prod(output_shape) // self.units

    def _products(self) -> Iterator[tuple[int, int]]:
        """For every core at one position, last core first: the number of elements it makes, and of products in each."""
        bounds = list(pairwise((1, *self.ranks, 1)))
        for t in reversed(range(len(bounds))):
            left, right = bounds[t]
            yield left * prod(self.output_modes[t:]) * prod(self.input_modes[:t]), self.input_modes[t] * right

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        shape = list(input_shape)
        first = 2 if self._channels_first else 1
        for axis, stride in enumerate(self.strides, start=first):
            size = shape[axis]
            shape[axis] = None if size is None else -(-size // stride)
        shape[self._channel_axis] = self.units
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "output_modes": self.output_modes,
            "input_modes": self.input_modes,
            "ranks": self.ranks,
            "strides": self.strides,
            "data_format": self.data_format,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }

    @property
    def _channels_first(self) -> bool:
        return self.data_format == "channels_first"

    @property
    def _channel_axis(self) -> int:
        return 1 if self._channels_first else -1
