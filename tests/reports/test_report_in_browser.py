"""The pages in a real browser, from the disk, without a network."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from rankline.src.db.database import open_database
from rankline.src.reports.report.benchmarks import write_benchmarks
from rankline.src.reports.report.device import write_device_figure
from rankline.src.reports.report.html import write_report
from tests.helpers import demo_database
from tests.helpers.browser import SIZES, tab

pytestmark = pytest.mark.pages

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"

DRAWN = "() => [...document.querySelectorAll('.plot')].every(one => one.querySelector('svg.main-svg'))"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The demo's report, the page of its device, and that of the checkout's benchmark results."""
    folder = tmp_path_factory.mktemp("pages")
    demo_database.make(folder / "demo.db")
    database = open_database(str(folder / "demo.db"))
    report = write_report(database, folder / "report.html")
    device = write_device_figure(database.device(), folder / "device.html")
    database.close()
    return {"report": report, "device": device, "benchmarks": write_benchmarks(RESULTS, folder / "benchmarks.html")}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["report", "benchmarks", "device"])
def test_a_page_from_the_disk_draws_every_figure_without_a_network(
    browser: Browser, pages: dict[str, Path], name: str, size: str
) -> None:
    with tab(browser, size, offline=True) as opened:
        opened.page.goto(pages[name].as_uri())
        for plot in opened.page.locator(".plot").all():
            plot.scroll_into_view_if_needed()
            plot.locator("svg.main-svg").first.wait_for()
        assert opened.page.evaluate(DRAWN)
        assert opened.errors == []
        assert opened.outside == []
        assert opened.cut_off() == []
        opened.shoot(f"{name}-{size}")


def test_texts_stand_out_from_a_dark_ground(browser: Browser, pages: dict[str, Path]) -> None:
    with tab(browser, offline=True) as opened:
        opened.page.emulate_media(color_scheme="dark")
        opened.page.goto(pages["report"].as_uri())
        title = opened.page.locator(".plot text.xtitle").first
        title.wait_for()
        colours = opened.page.evaluate(
            "() => [getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('.plot text.xtitle')).fill]"
        )
        assert colours == ["rgb(20, 24, 28)", "rgb(230, 233, 236)"]
        opened.shoot("report-dark")
