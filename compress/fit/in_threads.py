"""Independent pieces of linear algebra side by side, with one BLAS thread each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import joblib
from threadpoolctl import threadpool_limits

Result = TypeVar("Result")


def in_threads(jobs: Iterable[Callable[[], Result]]) -> Iterator[Result]:
    """The results of jobs in their order, each as soon as it and those before it are there.

    More BLAS threads than free cores can be forty times slower than one each.
    """
    with threadpool_limits(1, user_api="blas"):
        work = joblib.Parallel(n_jobs=os.cpu_count() or 1, prefer="threads", return_as="generator")
        yield from work(joblib.delayed(job)() for job in jobs)
