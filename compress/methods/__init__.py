"""The registry of decompositions: adding one is adding its file, and one line here."""

from __future__ import annotations

from compress.methods.cp import CP
from compress.methods.method import Decomposition
from compress.methods.qr import QR
from compress.methods.spatial_svd import SpatialSVD
from compress.methods.svd import SVD
from compress.methods.t3f import T3F
from compress.methods.tt import TT
from compress.methods.tucker import Tucker
from dse import methods
from dse.errors import UserError

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
