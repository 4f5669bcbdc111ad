"""Tables as LaTeX, for the packages booktabs and (above 60 rows) longtable."""

from __future__ import annotations

from pathlib import Path

from rankline.src.dse.outgoing import for_terminal
from rankline.src.reports.report.table import Table

SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "‘": "`",
    "’": "'",
    "–": "--",
    "−": "$-$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "·": r"$\cdot$",
    "→": r"$\to$",
    "…": r"\ldots{}",
}

GRAPHICS = (".pdf", ".png")

ONE_LINE = {ord(character): " " for character in "\n\r\u2028\u2029"}

PAGE_ROWS = 60
"""The most rows that fit on a page."""


def escaped(text: str) -> str:
    """The text in one line, escaped so that LaTeX shows it unchanged."""
    return "".join(SPECIAL.get(character, character) for character in for_terminal(" ".join(text.split())))


def latex(table: Table) -> str:
    """The table with caption, label and notes; needs booktabs, and longtable if it doesn't fit on a page."""
    places = "".join("r" if column.number else "l" for column in table.columns)
    head = [_row([column.title for column in table.columns]), r"\midrule"]
    body = [_row(cells) for cells in table.texts()]
    caption = rf"\caption{{{escaped(table.title)}}}\label{{tab:{table.name}}}"
    notes = [rf"\par\footnotesize {escaped(note)}" for note in table.notes]
    if len(body) > PAGE_ROWS:
        start = [rf"\begin{{longtable}}{{{places}}}", rf"{caption}\\", r"\toprule", *head, r"\endhead"]
        lines = [*start, *body, r"\bottomrule", r"\end{longtable}", *notes]
    else:
        start = [r"\begin{table}", r"\centering\small", caption, rf"\begin{{tabular}}{{{places}}}", r"\toprule"]
        lines = [*start, *head, *body, r"\bottomrule", r"\end{tabular}", *notes, r"\end{table}"]
    return "\n".join(["% needs \\usepackage{booktabs,longtable}", *lines, ""])


def _row(cells: list[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"


def included(path: Path, caption: str) -> str:
    """A picture with its caption, which needs graphicx; or a comment if LaTeX can't include such a file."""
    name = path.as_posix()
    if path.suffix not in GRAPHICS:
        return f"% {name.translate(ONE_LINE)}: LaTeX can't include this format; it can include pdf and png\n"
    lines = [
        r"% needs \usepackage{graphicx}",
        r"\begin{figure}",
        r"\centering",
        rf"\includegraphics[width=\linewidth]{{\detokenize{{{name}}}}}",
        rf"\caption{{{escaped(caption)}}}",
        r"\end{figure}",
        "",
    ]
    return "\n".join(lines)
