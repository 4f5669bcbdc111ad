"""Security headers on every answer of the server, and which requests it answers."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from ipaddress import ip_address

from flask import Flask, Response, abort, request
from werkzeug.exceptions import HTTPException

CALLS = "/_dash-update-component"
"""The address to which pages send their callbacks' inputs."""

ANY_PAGE = "/<path:path>"
"""Dash's endpoint for what it doesn't know: the frame, in which the browser shows the page of the address."""

FILES = ("/_", "/assets")
"""Beginnings of addresses that are no page's."""

LARGEST_REQUEST = 2**20
"""Bytes; pages send some kilobytes."""

FAILED = "That failed; the server's terminal shows where."


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be reached from the machine itself."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def secure(server: Flask, hashes: Sequence[str], loopback: bool) -> None:
    """Adds headers that stop pages from loading or sending anything elsewhere and from being framed, and refuses
    requests that no page sends.

    hashes: of the pages' own inline scripts. loopback: answer only to the machine's own names, so that no other site
    can reach the server under a name of its own (DNS rebinding).
    """
    from dash.exceptions import DependencyException  # what is above is asked without dash as well

    scripts = " ".join(["'self'", *(f"'{one.strip(chr(39))}'" for one in hashes)])
    headers = {
        "Content-Security-Policy": f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }
    server.config["MAX_CONTENT_LENGTH"] = LARGEST_REQUEST

    @server.before_request
    def refuse_other_names() -> None:
        name = request.host if request.host.endswith("]") else request.host.rsplit(":", 1)[0]
        if loopback and not is_loopback(name):
            abort(400, "this server answers to localhost and to addresses of the machine itself, such as 127.0.0.1")

    @server.before_request
    def refuse_unknown_files() -> None:
        if request.endpoint == ANY_PAGE and request.path.startswith(FILES):
            abort(404)

    @server.errorhandler(DependencyException)
    def refuse_unknown_components(error: Exception) -> tuple[str, int]:
        return "there is no such file", 404

    @server.errorhandler(413)
    def refuse_too_large(error: HTTPException) -> tuple[str, int]:
        return f"a request holds at most {LARGEST_REQUEST:,} bytes", 413

    @server.errorhandler(Exception)
    def answer_error(error: Exception) -> HTTPException | tuple[str, int]:
        if isinstance(error, HTTPException):
            return error
        if request.path == CALLS:  # a callback's own errors are shown on the page
            print(f"a request that no page sends: {type(error).__name__}", file=sys.stderr)
            return "no page sends that", 400
        traceback.print_exception(error, file=sys.stderr)
        return FAILED, 500

    @server.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(headers)
        return response
