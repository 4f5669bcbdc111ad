"""A device's numbers, fitted to what was measured.

Non-negative least squares on the relative error, weighted so that single outliers don't count (iteratively reweighted
towards least absolute deviations: Schlossmacher, "An Iterative Technique for Absolute Deviations Curve Fitting", JASA
68, 1973). The tile is the one that predicts held-out measurements best. The numbers of a variant, such as ``3-D
pointwise``, are drawn a little towards those of the kind that it varies, because few measurements have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankline.src.dse.devices.device import Fit, Measured
from rankline.src.dse.devices.latency import TERMS, LatencyModel
from rankline.src.dse.errors import UserError

Reals = NDArray[np.float64]

TILES = (1, 4, 8, 16, 32)
"""The tiles that are tried."""

BLOCKS = (8, 16, 32)
"""Those of a runtime that pads: it is measured on ranks of whole blocks, which don't tell smaller ones apart."""

TIE = 3.0
"""How strongly a variant is drawn to its kind, relative to a measurement."""

FOLDS = 5
ROUNDS = 10
LEAST_ERROR = 0.03
"""Relative errors below this weigh as much as this one."""

FEWEST = 20
"""The fewest measurements that numbers are fitted to."""


def fitted(device: str, measured: Sequence[Measured], pads: bool, seed: int = 0) -> tuple[LatencyModel, Fit]:
    """The numbers of a device, and how well numbers that are fitted to the other measurements predict each one.

    Raises UserError if there are too few measurements.
    """
    if len(measured) < FEWEST:
        raise UserError(f"{len(measured)} measurements are too few to fit a device to; it needs {FEWEST}")
    times = np.array([one.picoseconds for one in measured], float)
    fold = np.random.default_rng(seed).permutation(len(measured)) % FOLDS
    best: tuple[float, int, Reals] | None = None
    for tile in BLOCKS if pads else TILES:
        matrix, kinds = _matrix(LatencyModel(device, tile, pads, 0, ()), measured)
        predicted = np.zeros(len(measured))
        for one in range(FOLDS):
            predicted[fold == one] = matrix[fold == one] @ _solved(matrix[fold != one], times[fold != one], kinds)
        errors = np.abs(predicted / times - 1)
        score = float(np.median(errors) + np.quantile(errors, 0.75))  # the worst are kinds with few measurements
        if best is None or score < best[0]:
            best = score, tile, errors
    assert best is not None
    _, tile, errors = best
    matrix, kinds = _matrix(LatencyModel(device, tile, pads, 0, ()), measured)
    *numbers, call = _solved(matrix, times, kinds).tolist()
    by_kind = tuple((kind, tuple(numbers[j * len(TERMS) : (j + 1) * len(TERMS)])) for j, kind in enumerate(kinds))
    model = LatencyModel(device, tile, pads, round(call), by_kind)
    return model, Fit(float(np.median(errors)), float(np.quantile(errors, 0.9)), len(errors))


def _matrix(model: LatencyModel, measured: Sequence[Measured]) -> tuple[Reals, list[str]]:
    """The amounts of TERMS by kind (a row a measurement), and 1 for the call; and the kinds."""
    kinds = sorted({model.kind_of(operation) for one in measured for operation in one.operations})
    place = {kind: j * len(TERMS) for j, kind in enumerate(kinds)}
    matrix = np.zeros((len(measured), len(kinds) * len(TERMS) + 1))
    matrix[:, -1] = 1
    for row, one in zip(matrix, measured, strict=True):
        for operation in one.operations:
            start = place[model.kind_of(operation)]
            row[start : start + len(TERMS)] += model.amounts(operation, one.ranks)
    return matrix, kinds


def _solved(matrix: Reals, times: Reals, kinds: Sequence[str]) -> Reals:
    """The numbers with the least absolute relative errors, none below zero."""
    from scipy.optimize import nnls

    relative = matrix / times[:, None]
    scale = np.abs(relative).max(axis=0)
    scale[scale == 0] = 1
    ties = _ties(relative, kinds)
    weights = np.ones(len(times))
    found: Any = np.zeros(matrix.shape[1])
    for _ in range(ROUNDS):
        rows = np.concatenate([relative * weights[:, None], ties])
        found = nnls(rows / scale, np.concatenate([weights, np.zeros(len(ties))]))[0] / scale
        weights = 1 / np.sqrt(np.maximum(np.abs(relative @ found - 1), LEAST_ERROR))
    return np.asarray(found, float)


def _ties(relative: Reals, kinds: Sequence[str]) -> Reals:
    """Rows that are zero where each variant has the numbers of its kind, in the unit of a typical relative error."""
    rows = []
    for j, kind in enumerate(kinds):
        wider = _wider(kind, kinds)
        for term in range(len(TERMS)) if wider else ():
            own, other = j * len(TERMS) + term, kinds.index(wider) * len(TERMS) + term
            amounts = relative[:, own][relative[:, own] > 0]
            typical = TIE * float(np.median(amounts if len(amounts) else relative[:, other]))
            row = np.zeros(relative.shape[1])
            row[own], row[other] = typical, -typical
            rows.append(row)
    return np.array(rows).reshape(-1, relative.shape[1])


def _wider(kind: str, kinds: Sequence[str]) -> str:
    """The kind that this one is a variant of: with whole blocks of channels, many inputs, or two axes; or none."""
    shorter = (kind.removesuffix(", odd channels"), kind.replace(", few inputs", ""), kind.removeprefix("3-D "))
    return next((one for one in shorter if one != kind and one in kinds), "")
