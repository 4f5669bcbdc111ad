"""What every answer of the server says to browsers, and whom it answers."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from flask import Flask, Response, abort, request

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


def is_loopback(host: str) -> bool:
    """Whether an address is one of the machine itself alone."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def secure(server: Flask, hashes: Sequence[str], loopback: bool) -> None:
    """Headers that keep pages from loading or sending anything elsewhere, and from being framed.

    hashes: of the pages' own inline scripts. loopback: answer only to the machine's own names, so that no page from
    elsewhere can reach the server under a name of its own (DNS rebinding).
    """
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

    @server.before_request
    def refuse_other_names() -> None:
        name = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
        if loopback and name not in LOCAL_NAMES:
            abort(400, f"this server answers to {', '.join(LOCAL_NAMES)}")

    @server.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(headers)
        return response
