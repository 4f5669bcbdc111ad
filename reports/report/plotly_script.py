"""plotly.js for a page, compressed: uncompressed, it would take nearly all of the 5 MB that a report may have."""

from __future__ import annotations

from functools import cache


@cache
def packed_plotly() -> str:
    """plotly.js as gzip in base64; ``templates/report.js`` unpacks it in the browser, without other libraries."""
    import gzip
    from base64 import b64encode

    from plotly.offline import get_plotlyjs

    return b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode("ascii")
