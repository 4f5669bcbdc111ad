"""Random small layers of every kind, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from rankline.src.dse import methods
from rankline.src.dse.layer import Layer, conv, dense

CHANNELS = st.integers(1, 6)


@st.composite
def conv_layers(draw: st.DrawFn) -> Layer:
    axes = draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    in_size = tuple(draw(st.integers(k, 6)) for k in kernel)
    strides = tuple(draw(st.integers(1, 2)) for _ in range(axes))
    padding = draw(st.sampled_from(["same", "valid"]))
    return conv("layer", kernel, draw(CHANNELS), draw(CHANNELS), in_size, strides, padding)


@st.composite
def dense_layers(draw: st.DrawFn) -> Layer:
    return dense("layer", draw(st.integers(1, 24)), draw(st.integers(1, 24)), draw(st.integers(1, 3)))


@st.composite
def layers_with_method(draw: st.DrawFn) -> tuple[Layer, str]:
    layer = draw(st.one_of(conv_layers(), dense_layers()))
    return layer, draw(st.sampled_from([method.name for method in methods.applicable(layer)]))
