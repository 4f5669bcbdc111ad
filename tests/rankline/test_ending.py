"""Signals end a command at any moment, in one line: in processes that are really told to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from rankline.cli.ending import MESSAGE

SCRIPT = """
import sys, time, threading, types
from rankline.cli import ending
from rankline.src.dse.interruption import take
ending.COMPUTING, ending.IMPORTING, ending.SAME = 0.8, 0.1, 0.2  # seconds, to wait for less
def busy():
    print("busy", flush=True)
def run(given):
{body}
    return 0
commands = types.ModuleType("commands")
commands.run = run
sys.modules["rankline.cli.commands"] = commands
sys.argv = ["rankline"]
from rankline.cli import main
main()
"""


@dataclass
class Ended:
    """How a command ended: its exit code, its output after "busy", standard error, and the seconds since the signal."""

    code: int
    out: str
    err: str
    seconds: float


def ended(body: str, folder: Path, *numbers: int, pause: float = 0.4) -> Ended:
    """A command with this body, which calls ``busy()``, after these signals."""
    script = SCRIPT.format(body=textwrap.indent(textwrap.dedent(body), "    "))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
        env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "busy\n"
    told = time.monotonic()
    for place, number in enumerate(numbers):
        time.sleep(pause if place else 0)
        process.send_signal(number)
    try:
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    return Ended(process.returncode, out, err, time.monotonic() - told)


LOST = {
    "waits": "busy()\ntime.sleep(60)",
    "swallowed by a finalizer": """
        class Swallows:
            def __del__(self):
                busy()
                time.sleep(60)
        Swallows()
        time.sleep(60)
    """,
    "swallowed by a library": """
        try:
            busy()
            time.sleep(60)
        except BaseException:
            pass
        time.sleep(60)
    """,
    "made into another error": """
        try:
            busy()
            time.sleep(60)
        except BaseException as error:
            raise ImportError("initialization failed") from None
    """,
    "a native computation": """
        from hashlib import pbkdf2_hmac
        busy()
        pbkdf2_hmac("sha256", b"", b"", 10**9)
    """,
    "an import": "import is_slow",
    "an import that swallows it": "import is_stubborn",
    "the import of a large library": "with ending.early(): import is_slow",
    "a library's thread": """
        threading.Thread(target=time.sleep, args=(60,)).start()
        busy()
        time.sleep(60)
    """,
    "the end of the process": """
        import atexit
        atexit.register(lambda: (busy(), time.sleep(60)))
    """,
    "closing, told twice": """
        try:
            busy()
            time.sleep(60)
        finally:
            time.sleep(60)
    """,
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
@pytest.mark.parametrize("where", LOST)
def test_a_signal_ends_the_command_in_one_line_whatever_it_is_doing(where: str, number: int, tmp_path: Path) -> None:
    (tmp_path / "is_slow.py").write_text("import time\nprint('busy', flush=True)\ntime.sleep(60)\n")
    swallows = "try:\n    time.sleep(60)\nexcept BaseException:\n    pass\n" * 99
    (tmp_path / "is_stubborn.py").write_text(f"import time\nprint('busy', flush=True)\n{swallows}")
    again = [number] * (2 if "twice" in where else 1)
    found = ended(LOST[where], tmp_path, *again)
    assert (found.code, found.out, found.err) == (128 + number, "", f"{MESSAGE}\n")
    assert found.seconds < 10


def test_the_end_of_the_terminal_ends_it_too(tmp_path: Path) -> None:
    found = ended(LOST["waits"], tmp_path, signal.SIGHUP)
    assert (found.code, found.err) == (129, f"{MESSAGE}\n")


def test_work_is_closed_before_the_end_and_a_signal_that_comes_twice_at_once_does_not_hinder_it(tmp_path: Path) -> None:
    body = """
        try:
            busy()
            time.sleep(60)
        finally:
            time.sleep(0.9)  # longer than a computation may take
            print("closed", flush=True)
    """
    found = ended(body, tmp_path, signal.SIGINT, signal.SIGTERM, pause=0.05)
    assert (found.code, found.out, found.err) == (130, "closed\n", f"{MESSAGE}\n")


def test_work_that_takes_the_interruption_ends_with_what_it_has(tmp_path: Path) -> None:
    body = """
        try:
            busy()
            time.sleep(60)
        except KeyboardInterrupt as told:
            take(told)
        time.sleep(0.9)
        print("written", flush=True)
    """
    found = ended(body, tmp_path, signal.SIGTERM)
    assert (found.code, found.out, found.err) == (143, "written\n", f"{MESSAGE}\n")


def test_a_signal_to_a_forked_process_is_not_one_to_the_command(tmp_path: Path) -> None:
    body = """
        import multiprocessing
        other = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        other.start()
        other.terminate()
        other.join()
        busy()
        time.sleep(0.3)
        print("went on after", other.exitcode)
    """
    found = ended(body, tmp_path)
    assert (found.code, found.out, found.err) == (0, "went on after -15\n", "")


def test_a_command_called_from_python_leaves_signals_as_they_were(run: object) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert callable(run)
    assert run("zoo")[0] == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_ctrl_c_in_the_first_tenths_of_a_second_is_one_line_too(tmp_path: Path) -> None:
    """While the commands are imported."""
    script = "import sys\nprint('busy', flush=True)\nfrom rankline.cli import main\nsys.argv[1:] = ['--help']\nmain()"
    for wait in (0.1, 0.2):
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err) in ((130, f"{MESSAGE}\n"), (0, ""))


@pytest.mark.parametrize(("where", "code", "told"), [("/dev/full", 2, "No space left on device"), ("pipe", 0, "")])
def test_output_that_cannot_be_written_is_told_once(where: str, code: int, told: str, tmp_path: Path) -> None:
    command = f"'{sys.executable}' -m rankline zoo --json"
    command = f"{command} > {where}" if where != "pipe" else f"{command} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == code
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == bool(told)
