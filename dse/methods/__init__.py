"""The registry of methods: adding one takes its file and one line here."""

from __future__ import annotations

from rankline.src.dse.errors import one_of
from rankline.src.dse.layer import Layer
from rankline.src.dse.methods.cp import CP
from rankline.src.dse.methods.method import Method
from rankline.src.dse.methods.qr import QR
from rankline.src.dse.methods.spatial_svd import SpatialSVD
from rankline.src.dse.methods.svd import SVD
from rankline.src.dse.methods.t3f import T3F
from rankline.src.dse.methods.tt import TT
from rankline.src.dse.methods.tucker import Tucker

METHODS: dict[str, Method] = {
    method.name: method for method in (Tucker(), CP(), TT(), SVD(), SpatialSVD(), QR(), T3F())
}


def get(name: str) -> Method:
    """The method of that name. Raises UserError listing the possible names."""
    if name not in METHODS:
        raise one_of("method", name, list(METHODS))
    return METHODS[name]


def applicable(layer: Layer, names: tuple[str, ...] | None = None) -> list[Method]:
    """The methods that can factorize the layer, out of those named (default: all)."""
    chosen = list(METHODS.values()) if names is None else [get(name) for name in names]
    return [] if layer.kept_because else [method for method in chosen if method.refuses(layer) is None]
