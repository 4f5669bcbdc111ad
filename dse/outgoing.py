"""Texts that come from files, such as names, made harmless for what shows them: one function for each place.

JSON needs none: it escapes all that isn't ASCII. HTML is escaped by its templates too, LaTeX by
``reports.report.latex``.
"""

from __future__ import annotations

import os
import re
import unicodedata
from typing import Any

EXACT_CSV = "RANKLINE_EXACT_CSV"
"""Set in the environment, it keeps texts in CSV as they are."""

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#&~$])")

_FORMULA = re.compile(r"[\t\r\n]|[\s\"'`]*[=+\-@＝＋－＠]")

_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|nan)", re.IGNORECASE)


def for_terminal(text: str) -> str:
    """The text with escapes ("\\\\x1b") in place of control characters, line breaks and marks of writing direction."""
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")


def for_html(text: str) -> str:
    """The text with escapes in place of control characters, line breaks and tabs excepted; templates do the rest."""
    return text if text.isprintable() else "".join(one if one in "\n\r\t" else _visible(one) for one in text)


def for_database(text: str) -> str:
    """The text with escapes in place of bytes of a file's name that are no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def for_markdown(text: str) -> str:
    """The text in one line, escaped so that Markdown shows it unchanged."""
    return _MARKDOWN.sub(r"\\\1", for_terminal(" ".join(text.split())))


def for_csv(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula begins with an apostrophe, unless EXACT_CSV is set.

    Control characters, line breaks and tabs excepted, become escapes. Source: OWASP, "CSV Injection". Numbers, also
    negative ones, and all other values stay as they are.
    """
    if not isinstance(value, str) or EXACT_CSV in os.environ:
        return value
    is_formula = _FORMULA.match(value) and not _NUMBER.fullmatch(value)
    return for_html(f"'{value}" if is_formula else value)
