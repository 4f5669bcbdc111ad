"""Independent pieces of linear algebra side by side, with one BLAS thread each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import joblib
from threadpoolctl import threadpool_limits

Result = TypeVar("Result")


def in_threads(jobs: Iterable[Callable[[], Result]]) -> Iterator[tuple[int, Result]]:
    """The result of each job with its number from 0, in the order in which they finish.

    More BLAS threads than free cores can be forty times slower than one each.
    """
    with threadpool_limits(1, user_api="blas"):
        work = joblib.Parallel(n_jobs=os.cpu_count() or 1, prefer="threads", return_as="generator_unordered")
        yield from work(joblib.delayed(_numbered)(number, job) for number, job in enumerate(jobs))


def _numbered(number: int, job: Callable[[], Result]) -> tuple[int, Result]:
    return number, job()
