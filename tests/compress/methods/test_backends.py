"""The decompositions are written on TensorLy's backend, and give the same on every one that is installed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest
import tensorly as tl

from rankline.src.compress import methods
from tests.compress.methods.test_cp import decaying
from tests.helpers.chains import METHODS

pytestmark = pytest.mark.filterwarnings("ignore::rankline.src.compress.methods.cp.ConvergenceWarning")

BACKENDS = {"numpy": "numpy", "tensorflow": "tensorflow", "jax": "jax", "pytorch": "torch"}
"""TensorLy's names, and the packages that they need."""


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """A backend that is installed. JAX, which would spend nearly all of its time on compiling, optimizes little."""
    if find_spec(BACKENDS[request.param]) is None:
        pytest.skip(f"{request.param} is not installed")
    if request.param != "jax":
        yield request.param
        return
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield request.param
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.mark.parametrize("method", METHODS)
def test_every_backend_gives_the_same_errors(method: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two fitted ranks will do: JAX compiles every operation anew for each.
    monkeypatch.setattr("rankline.src.compress.methods.numerics.calibration.TOP", 0.3)
    monkeypatch.setattr("rankline.src.compress.methods.numerics.calibration.MOST_FITS", 2)
    decomposition = methods.get(method)
    weights = decaying((1, 1, 12, 16) if method == "qr" else (3, 2, 24, 36)).astype("float32")
    (table,) = decomposition.spectrum(weights).values()
    ranks = tuple(size // 5 for size in (table.tables[0].shape if table.is_grid else map(len, table.tables)))
    expected = decomposition.error(weights, decomposition.decompose(weights, ranks))
    with tl.backend_context(backend):
        factors = decomposition.decompose(tl.tensor(weights), ranks)
        assert all(tl.is_tensor(factor) and factor.dtype == tl.float32 for factor in factors)
        error = decomposition.error(tl.tensor(weights), factors)
        (here,) = decomposition.spectrum(tl.tensor(weights)).values()
    assert error == pytest.approx(expected, rel=0.05)
    assert here.error(ranks) == pytest.approx(table.error(ranks), rel=0.05)
    assert (here.certainty, tuple(map(np.shape, here.tables))) == (table.certainty, tuple(map(np.shape, table.tables)))
