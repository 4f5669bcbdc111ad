"""Worker processes end with their parent, and leave Ctrl-C to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

SCRIPT = """
import os, time, joblib
from rankline.src.compress.search.worker import deaf_to_the_terminal, end_with
def told():
    print(os.getpid(), flush=True)
    time.sleep(60)
with joblib.parallel_config("loky", n_jobs=2, initializer=end_with, initargs=(os.getpid(),)):
    with deaf_to_the_terminal():
        work = joblib.Parallel(return_as="generator", batch_size=1)(joblib.delayed(told)() for _ in range(2))
    list(work)
"""


def is_running(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="processes are looked up in /proc")
@pytest.mark.parametrize("killed", [True, False], ids=["kill -9 of the parent", "ctrl-c in the terminal"])
def test_no_worker_outlives_its_parent(killed: bool) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    if killed:
        os.kill(parent.pid, signal.SIGKILL)
    else:
        os.killpg(parent.pid, signal.SIGINT)
    _, err = parent.communicate(timeout=60)
    end = time.monotonic() + 20
    while any(map(is_running, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(is_running, workers))
    assert err.count("Traceback") == (0 if killed else 1)  # that of the parent, which is a bare script
