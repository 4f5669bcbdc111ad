"""The report as one self-contained HTML file, which works offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankline.src.dse import numbers
from rankline.src.dse.outgoing import for_html
from rankline.src.dse.whole_file import write_text
from rankline.src.reports.report.latencies import latency_tables
from rankline.src.reports.report.plotly_script import packed_plotly

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from jinja2 import Environment
    from markupsafe import Markup

    from rankline.src.db.database import Database
    from rankline.src.reports.report.content import Content

UNSAFE = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
"""Characters that could end a script element or a line of script; JSON only has them in strings."""


def write_report(
    database: Database,
    path: Path,
    network: str | None = None,
    run: int | None = None,
    seed: int = 0,
    device: str | None = None,
) -> Path:
    """Writes the report of a network and one of its runs to ``path`` atomically; returns ``path``.

    Without ``run``, the network's latest finished run is used, if any. ``seed`` draws the sampled points. Latencies are
    those on all devices of the database, or on ``device``. Raises UserError for an unknown network, run or device, and
    if the file can't be written.
    """
    from rankline.src.reports.report.content import content

    write_text(path, render(content(database, network, run, seed, device)))
    return path


def render(found: Content) -> str:
    """The report as one self-contained HTML text."""
    latencies = latency_tables(found.times, found.recorded)
    return environment().get_template("report.html").render(content=found, latencies=latencies)


def figure_json(figure: go.Figure) -> Markup:
    """The figure as JSON that is safe in a script element, whatever texts it holds."""
    from markupsafe import Markup

    return Markup(figure.to_json(validate=False, engine="json").translate(UNSAFE))


def _harmless(value: Any) -> Any:
    """What a template shows, without control characters from names."""
    return for_html(value) if type(value) is str else value


def environment() -> Environment:
    """The templates' environment, with autoescaping and filters that format numbers."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from rankline.src.dse.methods import METHODS
    from rankline.src.dse.precision import ELEMENT_BYTES

    made = Environment(
        loader=PackageLoader("rankline.src.reports.report"),
        autoescape=True,
        finalize=_harmless,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = (numbers.si, numbers.count, numbers.percent, numbers.change, numbers.points, numbers.decimals)
    made.filters.update({function.__name__: function for function in shown})
    made.globals |= {"packed_plotly": packed_plotly, "element_bytes": ELEMENT_BYTES}
    made.filters["figure_json"] = figure_json
    made.filters["method_title"] = lambda name: METHODS[name].title if name in METHODS else name
    made.filters["sizes"] = lambda sizes: "×".join(map(str, sizes))
    return made
