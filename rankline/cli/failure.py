"""What ended a command early, for people and as an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from contextlib import suppress

from rankline.src.dse.errors import UserError
from rankline.src.dse.outgoing import for_terminal


def told(error: Exception, debug: bool) -> int:
    """Tells an error in one line on standard error, after its traceback for ``debug``. Returns the exit code: 2 for a
    user's mistake, 1 for a failure, and 0 where the reader of a pipe has gone, and nothing is left to say."""
    if isinstance(error, BrokenPipeError):
        _discard_output()
        return 0
    if debug:
        traceback.print_exception(error)
    shown = _in_a_file(error) or error
    code = 2 if isinstance(shown, UserError) else 1
    message = for_terminal(" ".join(str(shown).split())) or type(error).__name__
    hint = "" if code == 2 or debug else " (--debug shows where)"
    print(f"rankline: {message}{hint}", file=sys.stderr)
    if isinstance(error, OSError):
        _discard_output()  # a full disk, perhaps: Python would complain once more when it ends
    return code


def _in_a_file(error: Exception) -> UserError | None:
    """What the system says of a file, or a database that is damaged, in place of an error; None for any other."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return UserError(f"cannot use '{error.filename}': {error.strerror}; give a file that you can read and write")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(f"cannot write: {error.strerror}; make room, or write elsewhere")
    if "sqlalchemy" not in sys.modules:
        return None
    from rankline.src.db.backends.damage import damage

    return damage(error)


def _discard_output() -> None:
    """Sends what is left to write to nowhere."""
    with suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
