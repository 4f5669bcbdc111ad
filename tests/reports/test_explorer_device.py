"""The explorer on a device: latency as axis, window, pick, cost of the front, and in the basket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dash import Dash
from playwright.sync_api import Browser, expect

from rankline.src.db.database import Database, open_database
from rankline.src.db.queries.across_methods import LeftOutWarning
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import Layer, conv, dense
from rankline.src.dse.metric import LATENCY
from rankline.src.dse.numbers import change
from rankline.src.reports.explorer.answers import Question, answers, cloud
from rankline.src.reports.explorer.app import make_app
from rankline.src.reports.explorer.basket import basket_of, with_choice
from tests.helpers import explorer_database
from tests.helpers.browser import SIZES, tab
from tests.helpers.devices import made_up_device
from tests.helpers.explorer_call import call, find, message
from tests.helpers.explorer_server import served

KEPT = Layer("memory", "lstm", 4, 4, kept_because="recurrent", kept_params=36)
LAYERS = [conv("c", (3, 3), 16, 24, (12, 12)), dense("d", 16, 24), KEPT]
METHODS = ("tucker", "cp", "tt", "svd", "spatial_svd")

ASKED = {"network.value": "net", "layer.value": "c", "methods.value": list(METHODS), "within.value": "useful",
         "against.value": "params", "error.value": 100, "device.value": "laptop", "front-cost.value": "params",
         **{f"kept-{name}.value": [0, 100] for name in ("params", "fm", "flops", "memory", "latency")}}  # fmt: skip


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """With a device that can tell everything, one that lacks what Tucker begins with, and one that lacks the layer."""
    path = str(tmp_path_factory.mktemp("timed") / "space.db")
    written = open_database(path)
    written.explore(LAYERS, name="net")
    written.save_device(made_up_device())
    written.save_device(made_up_device("no pointwise", leave_out="pointwise"))
    written.save_device(made_up_device("no convolution", leave_out="convolution"))
    written.close()
    opened = open_database(path, read_only=True)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database without a device."""
    opened = open_database(str(tmp_path_factory.mktemp("bare") / "space.db"))
    opened.explore(LAYERS, name="net", methods=["svd"])
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def app(database: Database) -> Dash:
    return make_app(database)


@pytest.mark.parametrize("kept", [(0, 100), (0, 60), (30, 70), (50, 100), (0, 1)])
@pytest.mark.parametrize("within", ["useful", "all"])
def test_a_window_on_latency_counts_and_picks_what_the_database_says(
    database: Database, kept: tuple[int, int], within: str
) -> None:
    found = answers(database, Question("net", "c", METHODS, within, {"latency": kept}, device="laptop"))
    for one in found:
        solutions = database.solutions("c", one.method, "net", device="laptop").within(within)
        frame, whole = solutions.to_pandas(), LATENCY.of(solutions.original)
        frame = frame[100 * frame["latency_ps"] >= kept[0] * whole] if kept[0] else frame
        frame = frame[100 * frame["latency_ps"] <= kept[1] * whole] if kept[1] < 100 else frame
        assert (one.count, one.untimed) == (len(frame), "")
        if len(frame):
            assert one.picks["fastest"].latency == frame["latency_ps"].min()
            assert all(pick.latency is not None for pick in one.picks.values())
        else:
            assert one.picks == {}


def test_without_a_device_nothing_has_a_latency(database: Database) -> None:
    for one in answers(database, Question("net", "c", METHODS)):
        assert "fastest" not in one.picks
        assert all(pick.latency is None for pick in (*one.picks.values(), *one.sample))


def test_the_cloud_is_against_seconds_and_tells_each_latency(database: Database) -> None:
    question = Question("net", "c", METHODS, against="latency_ps", device="laptop")
    found = answers(database, question)
    figure = cloud(database, question, found, None)
    assert figure["layout"]["xaxis"]["ticksuffix"] == "s"
    assert figure["layout"]["xaxis"]["title"]["text"] == "latency (seconds)"
    (svd,) = [trace for trace in figure["data"] if trace.get("name") == "SVD"]
    (sample,) = [one.sample for one in found if one.method == "svd"]
    assert svd["x"] == [LATENCY.of(one.cost) / 1e12 for one in sample]
    assert svd["customdata"][0][5] == LATENCY.text(LATENCY.of(sample[0].cost))
    (original,) = [trace for trace in figure["data"] if trace.get("name") == "original"]
    assert original["x"] == [LATENCY.of(sample[0].original) / 1e12]
    bands = [trace for trace in figure["data"] if trace.get("fill")]
    assert len(bands) == len(METHODS)
    assert all(edge is None or edge < 1 for band in bands for edge in band["x"])


def test_methods_that_the_device_cannot_tell_are_left_out_with_a_message(database: Database, app: Dash) -> None:
    question = Question("net", "c", METHODS, against="latency_ps", device="no pointwise")
    found = {one.method: one for one in answers(database, question)}
    assert found["spatial_svd"].count > 0
    assert (found["tucker"].count, found["tucker"].picks) == (0, {})
    assert "no numbers for the operation 'pointwise'" in found["tucker"].untimed
    answer = call(app, find(app, "counts.children"), {**ASKED, "device.value": "no pointwise"})
    assert message(answer) == ""
    shown = answer.get_json()["response"]["counts"]["children"]
    assert "Left out: tucker, cp, tt, svd; device 'no pointwise' has no numbers" in json.dumps(shown)


def test_a_layer_that_the_device_cannot_tell_leaves_everything_out(database: Database) -> None:
    question = Question("net", "c", METHODS, against="latency_ps", device="no convolution")
    found = answers(database, question)
    assert all(one.untimed and not one.count for one in found)
    svd = database.solutions("c", "svd", "net").configuration([2])
    figure = cloud(database, question, found, svd)
    assert not any(trace.get("name") == "original" for trace in figure["data"])
    assert not any(str(trace.get("name")).startswith("chosen") for trace in figure["data"])
    against_params = Question("net", "c", (), device="no convolution")
    assert cloud(database, against_params, [], svd)["layout"]["xaxis"]["range"][1] > 1


def test_devices_have_axes_of_their_own_though_no_method_is_chosen(database: Database) -> None:
    ends = []
    for device in ("laptop", "no convolution", "laptop"):
        question = Question("net", "c", (), against="latency_ps", device=device)
        ends.append(cloud(database, question, [], None)["layout"]["xaxis"].get("range"))
    assert ends[0] == ends[2] is not None
    assert ends[1] is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"against": "latency_ps"}, "latency needs a device"),
        ({"kept": {"latency": [0, 50]}}, "latency needs a device"),
        ({"device": "phone"}, "unknown device 'phone'.*laptop"),
        ({"device": 7}, "a device is a text"),
    ],
)
def test_a_question_of_no_device_is_refused(database: Database, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        answers(database, Question(**{"network": "net", "layer": "c", "methods": METHODS, **changes}))


def test_the_basket_has_the_latency_of_a_call_before_and_after(database: Database, app: Dash) -> None:
    kept = with_choice(with_choice(None, "net", "c", "tucker 2x3"), "net", "d", "svd 3")
    basket = basket_of(database, "net", kept, database.device("laptop"))
    assert basket.times is not None
    choices = {
        name: database.solutions(name, one.method, "net", device="laptop").configuration(one.ranks)
        for name, one in basket.choices.items()
    }
    with pytest.warns(LeftOutWarning, match="memory"):
        before, after = database.totals(choices, "net", "laptop")
    assert (basket.times.before, basket.times.after) == (before.latency, after.latency)
    assert basket.saved_time("c") == pytest.approx(choices["c"].reduction("latency"))
    asked = {"basket.data": kept, "network.value": "net", "device.value": "laptop"}
    shown = call(app, find(app, "basket-shown.children"), asked).text
    for part in ("latency on laptop, at least", LATENCY.text(LATENCY.of(before)), LATENCY.text(LATENCY.of(after))):
        assert part in shown
    assert "laptop has no numbers for memory: not in its latencies." in shown


def test_a_choice_that_the_device_cannot_tell_is_named_in_the_basket(database: Database, app: Dash) -> None:
    kept = with_choice(None, "net", "c", "tucker 2x3")
    asked = {"basket.data": kept, "network.value": "net", "device.value": "no pointwise"}
    shown = call(app, find(app, "basket-shown.children"), asked).text
    assert "no pointwise has no numbers for c as chosen." in shown
    assert "latency on no pointwise, at least" in shown


def test_a_configuration_in_detail_has_its_latency_or_why_not(database: Database, app: Dash) -> None:
    asked = {**ASKED, "inspected.data": "tucker 2x3"}
    one = database.solutions("c", "tucker", "net", device="laptop").configuration([2, 3])
    shown = json.dumps(call(app, find(app, "inspector.children"), asked).get_json(), ensure_ascii=False)
    for part in (LATENCY.text(LATENCY.of(one.original)), LATENCY.text(LATENCY.of(one.cost))):
        assert part in shown
    assert change(one.reduction("latency")) in shown
    shown = call(app, find(app, "inspector.children"), {**asked, "device.value": "no pointwise"}).text
    assert "no pointwise has no numbers for this configuration" in shown
    assert "latency" not in call(app, find(app, "inspector.children"), {**asked, "device.value": ""}).text


def test_no_device_takes_latency_back_from_the_axes(app: Dash) -> None:
    axes = {"against.value": "latency_ps", "front-cost.value": "latency_ps"}
    name = find(app, "device-facts.children")
    none = call(app, name, {"device.value": "", **axes}).get_json()["response"]
    assert none["timed-windows"]["hidden"]
    assert none["against"] == {
        "options": {"params": "params (weights)", "memory_bytes": "memory (bytes)"},
        "value": "params",
    }
    assert none["front-cost"]["value"] == "params"
    some = call(app, name, {"device.value": "laptop", **axes}).get_json()["response"]
    assert "value" not in some["against"]
    assert some["against"]["options"]["latency_ps"] == "latency (seconds)"
    assert "half within 6.2 %, 90 % within 18.8 %" in some["device-facts"]["children"]


def test_a_front_is_not_against_what_no_choice_gives(app: Dash) -> None:
    for cost in ("error", ["params"], 7):
        assert "cost" in message(call(app, find(app, "front.children"), {**ASKED, "front-cost.value": cost}))


def test_a_database_without_a_device_has_no_choice_of_one(bare: Database) -> None:
    asked = {"url.pathname": "/", "url.search": ""}
    app = make_app(bare)
    shown = call(app, find(app, "page.children"), asked).get_json()["response"]["page"]["children"]
    hidden = [one for one in found_in(shown) if one.get("hidden")]
    inside = json.dumps(hidden)
    for part in ('"device"', '"kept-latency"', '"front-cost"'):
        assert json.dumps(shown).count(f'"id": {part}') == inside.count(f'"id": {part}') == 1
    assert "latency (seconds)" not in json.dumps(shown)


def found_in(component: Any) -> Iterator[dict[str, Any]]:
    """The properties of every component of a page."""
    if isinstance(component, list):
        for one in component:
            yield from found_in(one)
    elif isinstance(component, dict) and "props" in component:
        yield component["props"]
        yield from found_in(component["props"].get("children"))


@pytest.mark.parametrize("size", SIZES)
def test_a_device_is_chosen_asked_and_put_into_the_basket(browser: Browser, size: str, tmp_path: Path) -> None:
    path = tmp_path / "space.db"
    explorer_database.make(path)
    with served(path) as address, tab(browser, size) as opened:
        page = opened.page
        page.goto(f"{address}/?network=lenet5&layer=fc1")
        expect(page.locator("#total")).to_be_visible()
        expect(page.locator("#kept-latency")).to_be_hidden()
        every = page.locator("#total b").inner_text()
        page.locator("#device").click()
        page.get_by_role("option", name="laptop").click()
        expect(page).to_have_url(f"{address}/?network=lenet5&layer=fc1&device=laptop")
        expect(page.locator("#device-facts")).to_contain_text("half within")
        expect(page.locator("#kept-latency")).to_be_visible()
        expect(page.locator("#counts th").last).to_have_text("fastest")
        expect(page.locator("#total b")).to_have_text(every)

        page.get_by_role("radio", name="latency (seconds)").first.click()
        expect(page.locator("#cloud .xtitle")).to_have_text("latency (seconds)")
        expect(page.locator("#cloud .xtick").last).to_contain_text("s")
        thumb = page.locator("#kept-latency [role=slider]").last
        thumb.focus()
        for _ in range(2):
            page.keyboard.press("PageDown")
        expect(page.locator("#kept-latency-text")).to_contain_text("up to")
        expect(page.locator("#total b")).not_to_have_text(every)

        page.locator("#front-summary").click()
        page.locator("#front-costs").get_by_role("radio", name="latency (seconds)").click()
        expect(page.locator("#front .xtitle")).to_have_text("latency (seconds)")
        expect(page.locator("#front-summary")).to_have_text("Error against latency")

        page.locator("#counts button.pick").last.click()
        expect(page.locator("#inspector")).to_contain_text("latency")
        page.get_by_role("button", name="Put into the basket").click()
        expect(page.locator("#totals")).to_contain_text("latency on laptop")
        opened.shoot(f"explorer-device-{size}")
        assert (opened.errors, opened.outside, opened.cut_off()) == ([], [], [])
        assert (opened.pale(), opened.unnamed()) == ([], [])
        if size == "desktop":
            assert opened.too_wide() == []

        page.reload()
        expect(page.locator("#device-facts")).to_contain_text("laptop")
        expect(page.locator("#totals")).to_contain_text("latency on laptop")
        page.locator("#device").click()
        page.get_by_role("option", name="none").click()
        expect(page).to_have_url(f"{address}/?network=lenet5&layer=fc1")
        expect(page.locator("#kept-latency")).to_be_hidden()
        expect(page.locator("#totals")).not_to_contain_text("latency")
        expect(page.locator("#total b")).to_have_text(every)
        assert opened.errors == []
