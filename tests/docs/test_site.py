"""The pages build without a warning into a site that asks for nothing from elsewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import rankline
from rankline.src.dse.methods import METHODS
from tests.helpers.browser import SIZES, tab

pytestmark = pytest.mark.pages

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
LOOKED_AT = ("index", "methods", "concepts", "cli", "reference/python", "benchmarks", "how-to/budget", "contributing")

HEAVY = ("keras", "tensorflow")
"""What the build must not load: it takes long, and isn't installed where only the pages are built."""

NOWHERE = "http://127.0.0.1:9"
"""A proxy that nobody answers at, so that nothing can be asked for from elsewhere."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built without a network, and where importing what is HEAVY fails."""
    folder, instead = tmp_path_factory.mktemp("docs") / "site", tmp_path_factory.mktemp("instead")
    for name in HEAVY:
        (instead / f"{name}.py").write_text(f"raise RuntimeError('the pages load {name}')\n")
    path = os.pathsep.join([str(instead), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        env={**os.environ, "PYTHONPATH": path, "http_proxy": NOWHERE, "https_proxy": NOWHERE},
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr.replace("NO_MKDOCS_2_WARNING", "")
    return folder


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("page", LOOKED_AT)
def test_a_page_is_whole_and_asks_for_nothing_outside(site: Path, browser: Browser, page: str, size: str) -> None:
    with tab(browser, size, offline=True) as opened:
        opened.page.goto((site / f"{page}.html").as_uri())
        opened.page.wait_for_timeout(300)
        opened.shoot(f"docs-{page.replace('/', '-')}-{size}")
        assert opened.outside == []
        assert opened.errors == []
        assert opened.cut_off() == []


def test_the_search_finds_a_word_without_a_server(site: Path, browser: Browser) -> None:
    with tab(browser, offline=True) as opened:
        opened.page.goto((site / "index.html").as_uri())
        box = opened.page.locator("input.md-search__input")
        box.click()
        opened.page.locator(".md-search-result__meta", has_text="Type to start").wait_for(timeout=30_000)
        box.press_sequentially("envelope")
        opened.page.locator(".md-search-result__item", has_text="Envelope and front").first.wait_for(timeout=30_000)
        assert opened.outside == []
        assert opened.errors == []


def test_no_page_refers_to_an_address_elsewhere_but_by_a_link_to_follow(site: Path) -> None:
    loading = re.compile(r"""<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=["']?(https?:|//)""")
    for path in site.rglob("*.html"):
        assert not loading.search(path.read_text(encoding="utf-8")), path.name


def test_the_formulas_are_drawn(site: Path, browser: Browser) -> None:
    with tab(browser) as opened:
        opened.page.goto((site / "methods.html").as_uri())
        titles = opened.page.locator("table.costs caption").all_text_contents()
        for method in METHODS.values():
            assert any(title.startswith(f"{method.title}, ") for title in titles), method.title
        sizes = opened.page.evaluate(
            "() => [...document.querySelectorAll('table.costs math')].filter(one => !one.closest('details'))"
            ".map(one => one.getBoundingClientRect().width)"
        )
        assert len(sizes) > 40
        assert min(sizes) > 5


def _sections(page: Path) -> dict[str, str]:
    """What a page says under each heading, by the heading's anchor."""
    text = page.read_text(encoding="utf-8")
    return dict(re.findall(r'<h[23] id="([^"]+)"(.*?)(?=<h[23] id=|</article>)', text, flags=re.DOTALL))


def test_the_reference_has_every_public_name_with_its_signature_and_docstring(site: Path) -> None:
    sections = _sections(site / "reference" / "python.html")
    for name in set(rankline.__all__) - {"__version__"}:
        shown = unescape(re.sub(r"<[^>]+>", "", sections[f"rankline.{name}"]))
        public = getattr(rankline, name)
        assert f"{name}(" in shown or (isinstance(public, type) and issubclass(public, Exception)), name
        told = re.sub(r"`|\s", "", str(public.__doc__).partition(".")[0])
        assert told in re.sub(r"\s", "", shown), name


def test_the_reference_tells_of_the_classes_that_public_functions_return(site: Path) -> None:
    sections = _sections(site / "reference" / "python.html")
    names = {anchor.rpartition(".")[2] for anchor in sections if anchor.startswith("rankline.src.")}
    for name in rankline.__all__:
        found = str(getattr(getattr(rankline, name), "__annotations__", {}).get("return", ""))
        home = vars(sys.modules[getattr(rankline, name).__module__]) if found else {}
        for one in re.findall(r"\w+", found):
            if str(getattr(home.get(one), "__module__", "")).startswith("rankline.") and isinstance(home[one], type):
                assert one in names, f"{name} returns {one}"
    assert {"Database", "Solutions", "Solution"} <= names


def _commands() -> list[tuple[str, Any]]:
    sys.path.insert(0, str(ROOT / "docs" / "hooks"))
    try:
        from commands import walk  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    return list(walk())


def test_the_reference_has_every_command_and_option(site: Path) -> None:
    text = unescape((site / "cli.html").read_text(encoding="utf-8"))
    commands = _commands()
    assert {"rankline", "rankline explore", "rankline runs", "rankline runs show", "rankline db check"} <= {
        path for path, _ in commands
    }
    for path, command in commands:
        (section,) = re.findall(
            rf"<h2 id=\"[^\"]*\"><code>{re.escape(path)}</code>.*?(?=<h2 id=|</article>)", text, flags=re.DOTALL
        )
        for one in command.params:
            if one.name != "help" and not one.hidden:
                assert (one.opts[0] if one.opts[0].startswith("-") else one.metavar or one.name.upper()) in section
                assert one.help, f"{path}: {one.name} has no help"


def test_the_examples_of_the_help_are_commands_that_the_program_takes() -> None:
    for path, command in _commands():
        own = getattr(command.callback, "__doc__", None) or command.help or ""
        for example in re.findall(r"Example: \[bold\](.*)\[/bold\]", own):
            words = shlex.split(example)
            typed = path.split()
            assert words[: len(typed)] == typed, path
            command.make_context(typed[-1], words[len(typed) :])
