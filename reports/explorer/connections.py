"""Room for new connections, however many slow clients hold theirs."""

from __future__ import annotations

from typing import Any

from waitress.channel import HTTPChannel

MOST = 200
"""Connections that are open at once; a browser needs six."""


class Connection(HTTPChannel):  # type: ignore[misc]
    """A connection that takes the place of another where there are MOST: of the oldest that waits for a request, which
    a browser opens again when it needs it; if there is none, of the oldest that is slow to read its answer.

    Without that, clients that send a byte now and then would shut all others out.
    """

    def __init__(self, server: Any, *values: Any, **options: Any) -> None:
        super().__init__(server, *values, **options)
        # Closed is what will be closed in the loop's next round.
        others = [one for one in server.active_channels.values() if one is not self and not one.will_close]
        if len(others) >= MOST:
            waiting = (one for one in others if not one.requests and not one.total_outbufs_len)
            reading = (one for one in others if not one.requests)
            next(waiting, next(reading, self)).will_close = True
