"""Serves the explorer until it is interrupted."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import Any

from rankline.src.db.database import open_database
from rankline.src.dse.errors import UserError

THREADS = 16
"""A browser requests some twenty files at once."""

NO_LIMIT = 10_000
"""Connections at which waitress would stop to accept any; ``Connection`` makes room long before."""


def serve(
    location: str, host: str = "127.0.0.1", port: int = 8050, started: Callable[[str], None] = lambda address: None
) -> None:
    """Serves the database at a path or URL, read only, until KeyboardInterrupt; ``started`` is called with the address.

    Port 0 takes any free port. Raises UserError without the extra ``web``, for a database that can't be opened, an
    unknown host, and a port that can't be used.
    """
    try:
        from waitress.server import BaseWSGIServer, create_server

        from rankline.src.reports.explorer.app import make_app
        from rankline.src.reports.explorer.connections import Connection
        from rankline.src.reports.explorer.safety import LARGEST_REQUEST
    except ImportError as error:
        missing = f"the web explorer needs {error.name}; install it with: pip install 'rankline[web]'"
        raise UserError(missing) from error
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    database = open_database(location, read_only=True)
    bare = host.strip("[]")
    app = make_app(database, bare)
    limits = {"threads": THREADS, "max_request_body_size": LARGEST_REQUEST, "connection_limit": NO_LIMIT}
    quiet = {"ident": None, "log_socket_errors": False}
    try:
        server = create_server(app.server, host=bare, port=port, asyncore_use_poll=True, **limits, **quiet)
    except ValueError as error:
        reason = f"cannot listen on {host!r}: this machine knows no such host; give an address, such as 127.0.0.1"
        raise UserError(reason) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = f"port {port} of {host} is in use; give another with --port, or 0 for any that is free"
        else:
            reason = f"cannot listen on {host}, port {port}: {error.strerror or error}; give another --host or --port"
        raise UserError(reason) from error
    for listener in getattr(server, "map", {0: server}).values():  # several where a host name has several addresses
        if isinstance(listener, BaseWSGIServer):
            listener.channel_class = Connection
    name = f"[{bare}]" if ":" in bare else bare
    started(f"http://{name}:{_port(server)}/")
    try:
        server.run()
    finally:
        server.close()
        database.close()


def _port(server: Any) -> int:
    """The port in use; the first one if a host name stands for several addresses."""
    return int(server.effective_listen[0][1] if hasattr(server, "effective_listen") else server.effective_port)
