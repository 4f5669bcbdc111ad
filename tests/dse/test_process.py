"""Whether a process is still there: it decides what may be cleared and which runs have ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace

from rankline.src.dse.process import Process, this_host, this_process


def test_the_process_that_asks_is_there() -> None:
    assert not this_process().is_gone
    assert this_process().pid == os.getpid()


def test_one_that_has_ended_is_gone_even_before_its_parent_has_noticed() -> None:
    ended = subprocess.Popen([sys.executable, "-S", "-c", ""])
    known = Process(this_host(), ended.pid)
    deadline = time.monotonic() + 20
    while not known.is_gone and time.monotonic() < deadline:
        time.sleep(0.01)
    assert known.is_gone  # a zombie
    ended.wait()
    assert known.is_gone


def test_a_number_in_use_again_is_another_process() -> None:
    mine = this_process()
    assert mine.started is not None
    assert replace(mine, started=mine.started - 1).is_gone


def test_nothing_is_told_of_another_host() -> None:
    assert not Process("elsewhere", 2**22 + 1, 5).is_gone
    assert Process(this_host(), 2**22 + 1, 5).is_gone  # above the largest that Linux gives


def test_another_user_s_process_is_there() -> None:
    assert not Process(this_host(), 1).is_gone
