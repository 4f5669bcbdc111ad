"""Our decompositions against TensorLy's, on the same kernels, with one BLAS thread.

Tucker against ``partial_tucker``, CP against ``parafac``, TT against ``tensor_train``; on random Gaussian kernels, on
kernels whose spectrum decays as trained ones' do, and on those of pretrained models (RANKLINE_DATA), at about 85 and
60 % fewer params. On large kernels TensorLy's CP stops after ``--parafac-sweeps``: to go on takes it minutes a kernel.
Ours is timed until it has the error that theirs came to.

Run: python -m benchmarks.decompositions [--quick]
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import joblib
import numpy as np
import tensorly as tl
from numpy.typing import NDArray
from tensorly.decomposition import parafac, partial_tucker, tensor_train
from threadpoolctl import threadpool_limits

from benchmarks.record import record, seconds
from rankline.src.compress.methods import DECOMPOSITIONS
from rankline.src.compress.methods.numerics.als import fit
from rankline.src.compress.methods.numerics.slices import slice_svd
from rankline.src.dse.layer import conv
from rankline.src.dse.options import Options
from rankline.src.dse.space import Space
from rankline.src.dse.symbols import layer_shape

SHAPES = [(3, 3, 256, 512), (3, 3, 512, 512), (3, 512, 1024), (5, 5, 96, 256), (3, 3, 3, 32, 32)]
REDUCTIONS = (0.85, 0.6)
REPEATS = 3
METHODS = ("tucker", "cp", "tt")
QUICK = 100_000
"""Weights up to which a kernel is small."""
SLOW_S = 10.0
"""What takes longer is timed once, not three times."""

Kernel = NDArray[np.float32]


def kernels(seed: int) -> Iterator[tuple[str, Kernel]]:
    """Name and kernel of all that is measured."""
    rng = np.random.default_rng(seed)
    for shape in SHAPES:
        name = "x".join(map(str, shape))
        gaussian = rng.standard_normal(shape)
        yield f"gaussian {name}", gaussian.astype(np.float32)
        yield f"decaying {name}", decaying(gaussian, rng).astype(np.float32)
    folder = Path(os.environ.get("RANKLINE_DATA", "../shared/data")) / "models"
    for file, layer in (("resnet56_cifar10", "layer3_4_conv1"), ("voxnet_modelnet10", ""), ("cnn_fashion_mnist", "")):
        if (folder / f"{file}.keras").exists():
            yield f"{file} {layer}".strip(), trained(folder / f"{file}.keras", layer)


def decaying(gaussian: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """A kernel whose channels' energies fall as a power of their place, in random directions."""
    *_, inputs, outputs = gaussian.shape
    scales = np.multiply.outer(np.arange(1.0, inputs + 1) ** -0.7, np.arange(1.0, outputs + 1) ** -0.7)
    left, right = (np.linalg.qr(rng.standard_normal((size, size)))[0] for size in (inputs, outputs))
    return left @ (gaussian * scales) @ right


def trained(path: Path, layer: str) -> Kernel:
    """The kernel of a pretrained model's layer, of its largest convolution where no name is given."""
    import keras

    model = keras.models.load_model(path)
    convolutions = [one for one in model.layers if type(one).__name__ in ("Conv1D", "Conv2D", "Conv3D")]
    chosen = next(
        (one for one in convolutions if one.name == layer), max(convolutions, key=lambda one: one.count_params())
    )
    return np.asarray(keras.ops.convert_to_numpy(chosen.kernel), np.float32)


def ranks_for(method: str, kernel: Kernel, reduction: float) -> tuple[int, ...]:
    """The ranks, all at the same share of their caps, with the params reduction next above the one asked for."""
    *sizes, inputs, outputs = kernel.shape
    layer = conv("kernel", tuple(sizes), inputs, outputs, tuple(sizes))
    (branch,) = Space(method, layer_shape(layer), Options()).branches
    polynomials = branch.polynomials
    most = (1 - reduction) * kernel.size
    caps = [min(cap, inputs * outputs) for cap in polynomials.caps]
    shares = [share / 2000 for share in range(2000, 0, -1)]
    choices = (tuple(max(1, round(share * cap)) for cap in caps) for share in shares)
    return next(ranks for ranks in choices if polynomials.cost(ranks).params <= most)


def theirs(method: str, kernel: Kernel, ranks: tuple[int, ...], sweeps: int, seed: int) -> Kernel:
    """TensorLy's approximation of the kernel; CP with at most 100 sweeps where the kernel is small."""
    if method == "tucker":
        modes = [kernel.ndim - 2, kernel.ndim - 1]
        (core, factors), _ = partial_tucker(kernel, rank=list(ranks), modes=modes)
        return tl.tenalg.multi_mode_dot(core, factors, modes)
    if method == "cp":
        most = max(sweeps, 100) if kernel.size <= QUICK else sweeps
        found = parafac(kernel, ranks[0], n_iter_max=most, init="random", random_state=seed, tol=1e-8)
        return tl.cp_to_tensor(found)
    moved = np.moveaxis(kernel, -2, 0)
    return np.moveaxis(tl.tt_to_tensor(tensor_train(moved, [1, *ranks, 1])), 0, -2)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Median seconds of REPEATS calls (one, where it is slow), and the last result."""
    started = perf_counter()
    result = work()
    first = perf_counter() - started
    return (first, result) if first > SLOW_S else (seconds(work, REPEATS), result)


def compared(method: str, kernel: Kernel, reduction: float, sweeps: int, seed: int) -> dict[str, Any]:
    """Seconds and relative errors of both on one kernel."""
    ranks = ranks_for(method, kernel, reduction)
    ours = DECOMPOSITIONS[method]
    our_s, factors = timed(lambda: ours.decompose(kernel, ranks))
    their_s, approximation = timed(lambda: theirs(method, kernel, ranks, sweeps, seed))
    norm = np.linalg.norm(kernel)
    our_error, their_error = ours.error(kernel, factors), float(np.linalg.norm(kernel - approximation) / norm)
    found: dict[str, Any] = {
        "ranks": list(ranks),
        "ours": {"s": round(our_s, 4), "error": round(our_error, 6)},
        "tensorly": {"s": round(their_s, 4), "error": round(their_error, 6)},
    }
    if method == "cp":
        # Ours goes on to a lower error; the times are compared at the error that theirs has come to.
        our_s, reached = timed(lambda: cp_until(kernel, ranks[0], their_error))
        found["ours until their error"] = {"s": round(our_s, 4), "error": round(reached, 6)}
    return {**found, "times faster": round(their_s / our_s, 1)}


def cp_until(kernel: Kernel, rank: int, error: float) -> float:
    """Our CP from its start on, until the error is reached; returns the error it ended with."""
    weights = tl.tensor(kernel, dtype=tl.float64)
    return fit(weights, slice_svd(weights).terms(rank), enough=error).error


def threads(seed: int) -> dict[str, float]:
    """Seconds for the error tables of eight layers: one after the other, with more BLAS threads, and side by side."""
    rng = np.random.default_rng(seed)
    # New ones each time: what is known of a kernel is remembered.
    networks = iter(rng.standard_normal((3 * REPEATS, 8, 3, 3, 256, 256), np.float32))
    cores = os.cpu_count() or 1
    tables = DECOMPOSITIONS["tucker"].spectrum

    def one_by_one() -> None:
        for kernel in next(networks):
            tables(kernel)

    def side_by_side() -> None:
        joblib.Parallel(n_jobs=cores, prefer="threads")(joblib.delayed(tables)(kernel) for kernel in next(networks))

    found = {}
    with threadpool_limits(1):
        found["one layer at a time, 1 BLAS thread"] = seconds(one_by_one, REPEATS)
        found[f"{cores} layers at a time, 1 BLAS thread each"] = seconds(side_by_side, REPEATS)
    with threadpool_limits(cores):
        found[f"one layer at a time, {cores} BLAS threads"] = seconds(one_by_one, REPEATS)
    return {name: round(value, 4) for name, value in found.items()}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parafac-sweeps", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--quick", action="store_true", help="the smallest kernels only")
    options = parser.parse_args(arguments)
    rows = []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, kernel in kernels(options.seed):
            if options.quick and kernel.size > QUICK:
                continue
            tables_s, spectrum = timed(lambda kernel=kernel: DECOMPOSITIONS["tucker"].spectrum(kernel))
            for method in options.methods.split(","):
                for reduction in REDUCTIONS:
                    row = compared(method, kernel, reduction, options.parafac_sweeps, options.seed)
                    if method == "tucker":
                        row["all pairs"] = {
                            "pairs": spectrum[None].tables[0].size,
                            "s": round(tables_s, 4),
                            "error here": round(spectrum[None].error(row["ranks"]), 6),
                        }
                    rows.append({"kernel": name, "method": method, "reduction": reduction, **row})
                    print(rows[-1], flush=True)
    side_by_side = threads(options.seed)
    print(side_by_side)
    figures = {
        "threads, s for 8 layers": side_by_side,
        "parafac sweeps": options.parafac_sweeps,
        "blas threads": 1,
        "rows": rows,
    }
    print(record("decompositions", options.seed, ("numpy", "scipy", "tensorly", "rankline"), figures))


if __name__ == "__main__":
    main()
