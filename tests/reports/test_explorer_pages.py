"""The explorer as a person uses it: ``rankline serve`` in a process of its own, driven in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from rankline.src.db.database import open_database
from rankline.src.db.records.runs import (
    SUCCESS,
    LayerRecord,
    TrialRecord,
    choose_trial,
    finish_run,
    record_trial,
    start_run,
)
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.cost import Cost
from rankline.src.dse.layer import conv
from rankline.src.dse.plan import plan_from_json
from tests.helpers import explorer_database
from tests.helpers.browser import SIZES, Tab, tab
from tests.helpers.explorer_server import served

pytestmark = pytest.mark.pages

expect.set_options(timeout=20_000)  # a page that comes late on a busy machine is no failure


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("explorer") / "space.db"
    explorer_database.make(made)
    database = open_database(str(made))
    database.explore(
        [conv("stage3_block11_conv2_expand", (3, 3), 64, 128, (112, 112))], name="wide_network_of_one_layer"
    )
    kept = {"name": "deep", "kind": "depthwiseconv2d", "kept_because": "depthwise is kept", "kept_params": 36}
    database.explore([kept], name="without spaces")
    database.close()
    return made


@pytest.fixture(scope="module")
def address(path: Path) -> Iterator[str]:
    """Of the running server, without a slash at its end."""
    with served(path) as found:
        yield found


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(browser: Browser, size: str) -> Iterator[Tab]:
    """A page that ends without an error, without having asked for anything elsewhere, and with nothing cut off."""
    with tab(browser, size) as made:
        yield made
        assert made.errors == []
        assert made.outside == []
        assert made.cut_off() == []
        assert (made.pale(), made.unnamed()) == ([], [])
        if size == "desktop":
            assert made.too_wide() == []


def pick(page: Page, picker: str, name: str) -> None:
    page.locator(f"#{picker}").click()
    page.get_by_role("option", name=name).click()


def slide(page: Page, name: str, share: float) -> int:
    """Drags a slider's last thumb to a share of its length; returns the percent that the page then shows."""
    slider, thumb = page.locator(f"#{name}"), page.locator(f"#{name} [role=slider]").last
    thumb.scroll_into_view_if_needed()
    track, start = slider.locator(".dash-slider-track").bounding_box(), thumb.bounding_box()
    assert track is not None
    assert start is not None
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(track["x"] + share * track["width"], start["y"] + start["height"] / 2, steps=5)
    page.mouse.up()
    shown = page.locator(f"#{name}-text")
    expect(shown).to_have_text(re.compile(r"up to \d+ %"))
    return int(shown.inner_text().split()[2])


def total(page: Page) -> int:
    return int(page.locator("#total b").inner_text().replace(",", ""))


def test_memory_at_a_precision_is_in_the_address_and_on_the_axis(address: str, opened: Tab) -> None:
    page = opened.page
    page.goto(f"{address}/?network=lenet5&layer=conv2")
    page.get_by_label("memory (bytes)").check()
    expect(page.locator("#cloud .legendtext", has_text="quantized original")).to_be_visible()
    page.get_by_label("int8").check()
    expect(page).to_have_url(f"{address}/?network=lenet5&layer=conv2&precision=int8")
    expect(page.locator("#cloud .xtitle")).to_have_text("memory (bytes) at int8")
    expect(page.locator("#cloud .legendtext", has_text="pruned original")).to_be_visible()
    expect(page.locator("#kept-memory-text")).to_contain_text("at int8")
    page.reload()
    expect(page.get_by_label("int8")).to_be_checked()


def test_a_window_a_click_and_a_basket_make_a_plan(address: str, path: Path, opened: Tab, size: str) -> None:
    page = opened.page
    page.goto(f"{address}/?network=lenet5&layer=conv2")
    expect(page.locator("#cloud .scatterlayer .trace").first).to_be_visible()
    every = total(page)
    opened.shoot(f"explorer-layer-{size}")

    percent = slide(page, "kept-params", 0.4)
    assert 30 < percent < 50
    expect(page.locator("#total b")).not_to_have_text(f"{every:,}")
    database = open_database(str(path), read_only=True)
    methods = ("tucker", "cp", "tt", "svd", "spatial_svd")
    found = [database.solutions("conv2", method, "lenet5") for method in methods]
    most = found[0].original.params * percent // 100
    assert total(page) == sum(one.where(params=(None, most)).count() for one in found)

    page.get_by_role("checkbox", name="tt").click()
    expect(page.locator("#counts")).not_to_contain_text("tt")

    point = page.locator("#cloud .scatterlayer .trace .points path.point").nth(1)  # the first is the original
    point.click(force=True)
    expect(page.locator("#inspector h2")).to_contain_text("conv2 by ")
    expect(page.locator("#inspector .chain")).to_have_count(2)
    expect(page.locator("#inspector")).to_contain_text("relative error")
    page.get_by_role("button", name="Put into the basket").click()
    expect(page.locator("#basket-shown td").nth(1)).to_have_text("conv2")
    opened.shoot(f"explorer-basket-{size}")

    chosen = page.locator("#inspector h2").inner_text().removeprefix("conv2 by ")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export the plan").click()
    assert waiting.value.suggested_filename == "lenet5-plan.json"
    plan = plan_from_json(Path(waiting.value.path()).read_text())
    method, ranks = chosen.split()[:2]
    assert (plan["conv2"].method, plan["conv2"].ranks) == (method, tuple(map(int, ranks.split("x"))))
    solution = database.solutions("conv2", method, "lenet5").configuration(plan["conv2"].ranks)
    after = database.totals({"conv2": solution}, "lenet5")[1]
    expect(page.locator("#totals")).to_contain_text(f"{after.params:,}")
    expect(page.locator("#totals")).to_contain_text(f"{after.flops:,}")
    database.close()

    page.get_by_title("take out conv2").click()
    expect(page.locator("#basket-shown")).to_contain_text("Empty")


def test_an_error_window_and_a_pick_of_the_table(address: str, opened: Tab) -> None:
    page = opened.page
    page.goto(f"{address}/?network=lenet5&layer=fc1")
    expect(page.locator("#total")).to_be_visible()
    before = total(page)
    slide(page, "error", 0.5)
    expect(page.locator("#total b")).not_to_have_text(f"{before:,}")
    page.locator("#counts tr", has_text="svd").locator("button").last.click()
    expect(page.locator("#inspector h2")).to_contain_text("fc1 by svd")
    expect(page.locator("#inspector")).to_contain_text("The relative error of its weights is exactly")


def test_a_network_without_weights_says_what_to_run(address: str, opened: Tab, size: str) -> None:
    page = opened.page
    page.goto(f"{address}/?network=without+weights")
    expect(page.locator("#layer-facts")).to_contain_text("rankline explore MODEL --errors")
    expect(page.locator("#error [role=slider]")).to_have_attribute("data-disabled", "")


def test_another_network_shows_its_own_layers(address: str, opened: Tab) -> None:
    page = opened.page
    page.goto(f"{address}/?network=lenet5")
    expect(page.locator("#total")).to_be_visible()
    pick(page, "network", "without weights")
    expect(page.locator("#layer")).to_contain_text("only")
    expect(page.locator("#basket-shown h2")).to_have_text("Basket of without weights")


def test_networks_lead_to_their_layers(address: str, opened: Tab, size: str) -> None:
    page = opened.page
    page.goto(f"{address}/network?network=lenet5")
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    opened.shoot(f"explorer-network-{size}")
    page.get_by_role("link", name="conv2").click()
    expect(page.locator("#layer")).to_contain_text("conv2")


def test_a_run_is_followed_while_it_is_under_way(address: str, path: Path, opened: Tab, size: str) -> None:
    page = opened.page
    page.goto(f"{address}/runs")
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    database = open_database(str(path))
    run = start_run(database.engine, database.network_id("lenet5"), {"objective": "params", "max_drop": 0.02}, 5)
    record_trial(database.engine, run, TrialRecord(0, "original", 0.95, 0.2, Cost(61_706, 8_000, 833_040), 0.5, ()))
    page.get_by_role("link", name=str(run), exact=True).click()
    expect(page.locator("#status")).to_contain_text("running")
    expect(page.locator("#trials tbody tr")).to_have_count(1)
    layers = (LayerRecord("conv2", Configuration("tucker", (2, 3)), Cost(80, 704, 9984), 0.91, 0.25),)
    record_trial(database.engine, run, TrialRecord(1, "tried", 0.8, 0.5, Cost(9_000, 9_000, 90_000), 2.5, layers))
    expect(page.locator("#trials tbody tr")).to_have_count(2, timeout=10_000)
    record_trial(database.engine, run, TrialRecord(2, "tried", 0.94, 0.3, Cost(12_000, 9_000, 99_000), 2.5, layers))
    choose_trial(database.engine, run, 2)
    finish_run(database.engine, run, SUCCESS, 0.94, 0.3, 0.95)
    database.close()
    expect(page.locator("#status")).to_contain_text("success", timeout=10_000)
    expect(page.locator("#trials tbody tr")).to_have_count(3)
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    opened.shoot(f"explorer-run-{size}")


def test_two_runs_stand_side_by_side(address: str, path: Path, opened: Tab, size: str) -> None:
    database = open_database(str(path))
    run = start_run(database.engine, database.network_id("lenet5"), {"objective": "flops", "max_drop": 0.02}, 6)
    record_trial(database.engine, run, TrialRecord(0, "original", 0.95, 0.2, Cost(61_706, 8_000, 833_040), 0.5, ()))
    finish_run(database.engine, run, SUCCESS, 0.94, 0.3, 0.95)
    database.close()
    page = opened.page
    page.goto(f"{address}/compare?a=1")
    expect(page).to_have_url(f"{address}/compare?a=1&b={run}")
    expect(page.locator("#compared")).to_contain_text("objective")
    expect(page.locator("#compared")).to_contain_text("flops")
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    opened.shoot(f"explorer-compare-{size}")


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("/nowhere", "There is no such page"),
        ("/?network=%3Cscript%3Ealert(1)%3C/script%3E", "Possible: lenet5"),
        ("/?network=lenet5&layer=none", "conv2"),
        ("/runs?run=99", "99"),
        ("/runs?run=1%20OR%201", "1 OR 1"),
        ("/compare?a=1&b=99", "99"),
    ],
)
def test_a_bad_address_says_what_is_there(address: str, browser: Browser, bad: str, told: str) -> None:
    with tab(browser, "phone") as opened:
        opened.page.goto(f"{address}{bad}")
        expect(opened.page.locator("#page")).to_contain_text(told)
        assert (opened.errors, opened.cut_off()) == ([], [])


def test_a_basket_that_was_tampered_with_is_told_and_does_no_harm(address: str, browser: Browser) -> None:
    with tab(browser) as opened:
        page = opened.page
        page.goto(f"{address}/?network=lenet5&layer=conv2")
        expect(page.locator("#total")).to_be_visible()
        kept = json.dumps({"lenet5": {"conv2": "tucker 999999x1"}})
        page.evaluate(
            "kept => { sessionStorage.setItem('basket', kept); sessionStorage.setItem('basket-timestamp', 1) }", kept
        )
        page.reload()
        expect(page.locator("#basket-shown")).to_contain_text("no configuration 999999x1")
        page.get_by_role("button", name="Empty the basket").click()
        expect(page.locator("#basket-shown")).to_contain_text("Empty.")
        expect(page.locator("#messages")).to_have_text("")


def test_pickers_lead_to_what_the_address_and_the_title_say(address: str, browser: Browser) -> None:
    with tab(browser, dark=True) as opened:
        page = opened.page
        page.goto(f"{address}/")
        expect(page).to_have_url(f"{address}/?network=lenet5&layer=fc1")
        slide(page, "error", 0.5)
        pick(page, "network", "wide_network")
        expect(page).to_have_url(f"{address}/?network=wide_network_of_one_layer&layer=stage3_block11_conv2_expand")
        expect(page).to_have_title("Layers – wide_network_of_one_layer, stage3_block11_conv2_expand – Rankline")
        expect(page.locator("#error-text")).to_have_text("any")
        expect(page.locator("#total b")).not_to_have_text("0")
        page.locator("#counts tr", has_text="tt").locator("button").last.click()
        page.get_by_role("button", name="Put into the basket").click()
        expect(page.locator("#totals")).to_be_visible()
        page.locator("#layer").click()
        expect(page.locator(".dash-dropdown-option:focus-within")).to_have_text("stage3_block11_conv2_expand")
        assert (opened.pale(), opened.unnamed(), opened.too_wide(), opened.cut_off()) == ([], [], [], [])
        opened.shoot("explorer-dark")
        page.keyboard.press("Escape")

        pick(page, "network", "without spaces")
        expect(page.locator("#counts")).to_contain_text(
            "No layer of without spaces has configurations. deep: depthwise"
        )
        expect(page.locator("#cloud")).to_be_hidden()
        expect(page.locator("#inspector")).to_be_empty()
        page.reload()
        expect(page.locator("#counts")).to_contain_text("No layer of without spaces has configurations")
        pick(page, "network", "wide_network")
        expect(page.locator("#cloud .scatterlayer .trace").first).to_be_visible()
        page.get_by_role("link", name="Networks").click()
        expect(page).to_have_title("Networks – Rankline")
        page.go_back()
        expect(page.locator("#basket-shown")).to_contain_text("stage3_block11_conv2_expand")
        page.get_by_role("link", name="Layers").click()
        expect(page).to_have_url(f"{address}/?network=lenet5&layer=fc1")
        assert opened.errors == []
