"""How a command ends when a signal tells it to: at any moment, in one line, with 128 + the signal's number.

The signal raises ``Interruption`` in the main thread, so that runs and files are closed on the way out. That isn't
enough: a native computation makes it wait, callbacks and finalizers swallow it, and libraries break if it is raised
while they are imported. So a thread watches over it. What takes too long, or is told to end once more, ends at once,
which does no harm: databases and files are whole at every moment.
"""

from __future__ import annotations

import atexit
import gc
import os
import select
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from types import FrameType, ModuleType
from typing import Any, NoReturn

from rankline.src.dse.interruption import Interruption

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Those that tell a command to end. What the parent ignores, as nohup does, stays ignored."""

MESSAGE = "rankline: interrupted; whole spaces and finished trials are kept"

PERIOD = 0.1
"""Seconds between two looks at how far the end has come."""

LOST = 3
"""Looks in a row that find no exception before it is raised again."""

SAME = 1.0
"""Seconds within which more signals belong to the first: a terminal and a wrapper may both send one."""

IMPORTING = 1.0
"""Seconds for which an import isn't disturbed, because it may swallow the exception or leave half a library behind."""

COMPUTING = 5.0
"""Seconds that are left to a native computation, an import, and the threads and exit functions of libraries."""

CLOSING = 60.0
"""Seconds that are left to closing."""

FINALIZING = 30
"""Seconds after which the process ends by SIGALRM where the finalizers of native libraries hang."""


_early = threading.Event()


@contextmanager
def early() -> Iterator[None]:
    """While large libraries are imported, before anything is open: a signal ends the process at once."""
    _early.set()
    try:
        yield
    finally:
        _early.clear()


class Ending:
    """Ends what happens between ``begin`` and ``leave`` when a signal tells it to. ``number``: of the signal; 0: none.

    program: the process is the command's own, and signals are heard until it has ended.
    """

    def __init__(self, program: bool) -> None:
        self.number = 0
        self._program = program
        self._raised: Interruption | None = None
        self._again = False
        self._began = self._last = self._left = 0.0  # when the first and the last signal came; when ``leave`` did
        self._lost = 0
        self._telling = threading.Lock()
        self._before: dict[int, Any] = {}

    @property
    def _is_early(self) -> bool:
        return self._program and _early.is_set()

    @property
    def code(self) -> int:
        """The exit code for the signal; that for Ctrl-C without one."""
        return 128 + (self.number or signal.SIGINT)

    def tell(self) -> None:
        """Says on standard error that the command was interrupted, the first time."""
        if self._telling.acquire(blocking=False):
            with suppress(OSError):  # the terminal has gone, perhaps
                print(MESSAGE, file=sys.stderr, flush=True)

    def begin(self) -> None:
        """Hears signals from here on, if this is the main thread; in others none is heard."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._main = threading.get_ident()
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._screen = os.dup(2)  # which is silenced at times
        self._ear, self._mouth = os.pipe()
        os.set_blocking(self._mouth, False)
        self._before = {one: before for one in SIGNALS if (before := signal.getsignal(one)) is not signal.SIG_IGN}
        self._descriptor = signal.set_wakeup_fd(self._mouth, warn_on_full_buffer=False)
        for number in self._before:
            signal.signal(number, self._handle)
        shown = ((sys, "unraisablehook"), (threading, "excepthook"), (warnings, "showwarning"))
        self._hooks = [self._silence(place, name) for place, name in shown]
        if self._program:
            atexit.register(self._at_exit)  # the first to be registered is the last to be called
            os.register_at_fork(before=self._hold, after_in_parent=self._release, after_in_child=self._forget)
        self._thread = threading.Thread(target=self._watch, name="ending", daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Raises no exception from here on; what signals then end is the rest of the process."""
        if self._program:
            self._left = monotonic()
        elif self._before:
            self._forget()
            for place, name, before in self._hooks:
                setattr(place, name, before)
            os.close(self._mouth)  # which ends the thread
            self._thread.join()

    def _hold(self) -> None:
        """Lets no signal in while the process forks: the child would hand its own on to the parent."""
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def _release(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _forget(self) -> None:
        """Leaves signals to who heard them before, as a forked process should."""
        for number, before in self._before.items():
            signal.signal(number, before)
        signal.set_wakeup_fd(self._descriptor)
        self._release()

    def _silence(self, place: ModuleType, name: str) -> tuple[ModuleType, str, Any]:
        """Once a signal has come, hides what a hook shows: exceptions that were swallowed, and warnings."""
        before = getattr(place, name)
        setattr(place, name, lambda *given: self.number or before(*given))
        return place, name, before

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Raises the exception in the main thread, the first time and when the thread says so."""
        self.number = self.number or number
        wanted = self._again or (self._raised is None and not _is_importing(frame))
        if wanted and not self._left and not self._is_early:
            self._again = False
            self._raised = Interruption()
            raise self._raised

    def _watch(self) -> None:
        """The thread. It hears of each signal even while the main thread can't, and looks after what follows."""
        while True:
            if select.select([self._ear], [], [], PERIOD if self._began else None)[0]:
                heard = os.read(self._ear, 64)
                if not heard:
                    break
                for number in set(heard) & self._before.keys():
                    self._hear(number)
            if self._began and (self._left or not (self._raised and self._raised.taken)):
                self._look()
        os.close(self._ear)
        os.close(self._screen)

    def _hear(self, number: int) -> None:
        now = monotonic()
        if self._is_early or (self._left and not self._raised) or (self._began and now - self._last > SAME):
            self.number = self.number or number
            self._end_now()
        if not self._began:
            self.number = self.number or number
            self._began = self._last = now

    def _look(self) -> None:
        """Raises the exception again where it was lost, and ends what takes too long."""
        now, frame = monotonic(), sys._current_frames().get(self._main)
        most, lost = self._began + COMPUTING, 0
        if self._left:
            most = self._left + COMPUTING
        elif _is_closing(sys._current_exceptions().get(self._main)):
            most = self._began + CLOSING
        elif now > self._began + IMPORTING or not _is_importing(frame):
            lost = self._lost + 1
        if now > most:
            self._end_now()
        self._lost = lost % LOST
        if lost == LOST:
            self._again, self._last = True, now
            signal.pthread_kill(self._main, self.number)

    def _end_now(self) -> NoReturn:
        """Ends the process and its children, whatever they are doing."""
        for child in sys.modules["multiprocessing"].active_children() if "multiprocessing" in sys.modules else ():
            child.kill()
        if self._telling.acquire(blocking=False):
            shown = "\r\x1b[K\x1b[?25h" if os.isatty(self._screen) else ""  # after a bar, which hides the cursor
            with suppress(OSError):
                os.write(self._screen, f"{shown}{MESSAGE}\n".encode())
        os._exit(self.code)

    def _at_exit(self) -> None:
        """Leaves without the finalizers of native libraries, some of which crash where they were interrupted.

        Where all is done, a signal changes nothing in the last milliseconds, in which Python could not tell of it.
        """
        if self.number:
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    stream.flush()
            gc.collect()  # which closes databases that were left open
            os._exit(self.code)
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)
        signal.alarm(FINALIZING)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _is_closing(active: Any) -> bool:
    """Whether an interruption is being handled: active is what ``sys._current_exceptions`` tells of a thread."""
    error = active[1] if isinstance(active, tuple) else active  # a tuple before Python 3.12
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
