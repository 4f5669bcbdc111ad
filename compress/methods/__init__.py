"""The registry of decompositions: adding one is adding its file, and one line here."""

from __future__ import annotations

from rankline.src.compress.methods.cp import CP
from rankline.src.compress.methods.method import Decomposition
from rankline.src.compress.methods.qr import QR
from rankline.src.compress.methods.spatial_svd import SpatialSVD
from rankline.src.compress.methods.svd import SVD
from rankline.src.compress.methods.t3f import T3F
from rankline.src.compress.methods.tt import TT
from rankline.src.compress.methods.tucker import Tucker
from rankline.src.dse import methods
from rankline.src.dse.errors import UserError

DECOMPOSITIONS: dict[str, Decomposition] = {
    method.name: method for method in (Tucker(), CP(), TT(), SVD(), SpatialSVD(), QR(), T3F())
}


def get(name: str) -> Decomposition:
    """The decomposition of that name. Raises UserError with the possible ones."""
    known = methods.get(name).name
    if known not in DECOMPOSITIONS:
        possible = ", ".join(DECOMPOSITIONS)
        raise UserError(f"method '{name}' can be explored, but not factorized by it yet. Possible: {possible}")
    return DECOMPOSITIONS[known]
