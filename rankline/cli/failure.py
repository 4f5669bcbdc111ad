"""What ended a command early, for people and as an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress

from rankline.src.dse.errors import UserError


def told(error: Exception, debug: bool) -> int:
    """Tells an error in one line on standard error, after its traceback for ``debug``. Returns the exit code: 2 for a
    user's mistake, 1 for a failure, and 0 where the reader of a pipe has gone, and nothing is left to say."""
    if isinstance(error, BrokenPipeError):
        _discard_output()
        return 0
    if debug:
        traceback.print_exception(error)
    code = 2 if isinstance(error, UserError) else 1
    message = " ".join(str(error).split()) or type(error).__name__
    hint = "" if code == 2 or debug else " (--debug shows where)"
    print(f"rankline: {message}{hint}", file=sys.stderr)
    if isinstance(error, OSError):
        _discard_output()  # a full disk, perhaps: Python would complain once more when it ends
    return code


def _discard_output() -> None:
    """Sends what is left to write to nowhere."""
    with suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
