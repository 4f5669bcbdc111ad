"""A report as a browser would take it apart."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

LOADING = ("src", "href", "srcset", "data", "action", "poster", "xlink:href")


class Page(HTMLParser):
    """``text`` that is seen, ``loads`` (addresses in attributes), ``tags``, ids, the ``figures`` by id,
    and the id of the data that each plot has ``shown``."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.policy = ""
        self.figures: dict[str, Any] = {}
        self.shown: dict[str, str] = {}
        self.scripts: list[str] = []
        self._seen: list[str] = []
        self._within: tuple[str, dict[str, str | None]] = ("", {})
        self.feed(html)
        self.text = " ".join("".join(self._seen).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in LOADING and value]
        self.ids += [value for name, value in attrs if name == "id" and value]
        if data := found.get("data-figure"):
            self.shown[found["id"] or ""] = data
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found.get("content") or ""
        self._within = (tag, found)
        if tag in ("td", "th"):
            self._seen.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._within = ("", {})

    def handle_data(self, data: str) -> None:
        tag, found = self._within
        if tag == "script" and found.get("type") == "application/json":
            self.figures[(found["id"] or "").removesuffix("-data")] = json.loads(data)
        elif tag == "script":
            self.scripts.append(data)
        elif tag != "style":
            self._seen.append(data)


def texts(figure: Any) -> list[str]:
    """Every text anywhere in a figure."""
    if isinstance(figure, str):
        return [figure]
    parts = figure.values() if isinstance(figure, dict) else figure if isinstance(figure, list) else ()
    return [text for part in parts for text in texts(part)]
