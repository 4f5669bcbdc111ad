"""The command line: one verb a command, a table for people, ``--json`` for machines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rankline.cli.ending import Ending

INTERRUPTED = 130
"""The exit code after Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and raises SystemExit with its exit code.

    It is 0, 2 for a user's mistake, 1 for a failure, and 128 + the signal's number where a signal told it to end: 130
    after Ctrl-C. There is no traceback without ``--debug``.

    ``--debug``, ``--no-color`` and ``--exact-csv`` may stand anywhere. arguments: None for those of the process.
    """
    from rankline.cli.present.terminal import settle_streams

    settle_streams()
    from rankline.cli.ending import Ending

    ending = Ending(program=arguments is None)
    try:
        ending.begin()
        code = _ran(list(sys.argv[1:] if arguments is None else arguments), ending)
        ending.leave()
    except KeyboardInterrupt:
        code = INTERRUPTED
        ending.leave()
    if ending.number or code == INTERRUPTED:
        ending.tell()
        code = ending.code
    sys.exit(code)


def _ran(given: Sequence[str], ending: Ending) -> int:
    """Runs a command, and tells what ends it early. Returns its exit code."""
    try:
        from rankline.cli.ending import early

        with early():
            from rankline.cli.commands import run  # which takes a third of a second

        return run(given)
    except Exception as error:
        from rankline.cli.failure import told

        # An error may be what a library has made of the signal.
        return ending.code if ending.number else told(error, "--debug" in given)
