"""The explorer's callbacks as a page calls them, and as no page does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from dash import Dash
from hypothesis import given, settings
from hypothesis import strategies as st

from rankline.src.db.database import Database, open_database
from rankline.src.dse.chain import cost_of
from rankline.src.dse.layer import Layer, conv, dense
from rankline.src.dse.methods import METHODS
from rankline.src.dse.numbers import count, si
from rankline.src.reports.explorer.answer_table import answer_table
from rankline.src.reports.explorer.answers import Question, answers
from rankline.src.reports.explorer.app import make_app
from rankline.src.reports.explorer.chain import chain, map_text
from rankline.src.reports.explorer.safety import LARGEST_REQUEST
from tests.helpers.explorer_call import call, callbacks, find, message

LAYERS = [conv("c", (3, 3), 8, 12, (6, 6), strides=2), dense("tokens", 16, 24, positions=197), dense("d", 16, 24)]

KEPT = [{"name": "deep", "kind": "depthwiseconv2d", "kept_because": "depthwise is kept", "kept_params": 36}]

ASKED = {"network.value": "net", "layer.value": "c", "methods.value": ["svd", "tucker"], "within.value": "useful",
         "against.value": "params", "error.value": 100, "kept-params.value": [0, 100], "kept-flops.value": [0, 100],
         "kept-fm.value": [0, 100], "kept-memory.value": [0, 100]}  # fmt: skip


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path = str(tmp_path_factory.mktemp("calls") / "space.db")
    written = open_database(path)
    written.explore(LAYERS, name="net")
    written.explore(KEPT, name="kept")
    written.close()
    opened = open_database(path, read_only=True)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def app(database: Database) -> Dash:
    return make_app(database)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=5)
    | st.sampled_from(["net", "c", "svd", "svd 2", "\ud800"]),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.sampled_from(["net", "c", "points"]), one, max_size=2),
    max_leaves=6,
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_whatever_is_sent_to_a_callback_is_answered_or_refused(app: Dash, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(callbacks(app)))
    asked = {**ASKED, **data.draw(st.dictionaries(st.sampled_from(sorted(places(app, name))), ANYTHING, max_size=3))}
    buttons = [json.loads(place) for one in sorted(places(app, name)) if "ALL" in (place := one.rsplit(".", 1)[0])]
    pressed = changed = None
    if buttons:
        button = data.draw(st.sampled_from(buttons))
        pressed = json.dumps({key: one if one != ["ALL"] else data.draw(ANYTHING) for key, one in button.items()})
    elif "cloud.clickData" in asked:
        changed = "cloud.clickData"
    answer = call(app, name, asked, pressed, changed)
    assert answer.status_code in (200, 204)
    assert not any(word in answer.text for word in ("That failed", "Traceback", "SELECT", "sqlite", "sqlalchemy"))


def test_a_layer_that_is_gone_is_told_where_no_method_is_chosen(app: Dash) -> None:
    answer = call(app, find(app, "counts.children"), {**ASKED, "layer.value": "gone", "methods.value": []})
    assert "unknown layer" in message(answer)


def places(app: Dash, name: str) -> set[str]:
    known = app.callback_map[name]
    return {f"{one['id']}.{one['property']}" for one in (*known["inputs"], *known["state"])}


@settings(deadline=None, max_examples=100)
@given(body=ANYTHING | st.dictionaries(st.sampled_from(["output", "outputs", "inputs", "state"]), ANYTHING))
def test_what_is_no_call_at_all_is_refused(app: Dash, body: Any) -> None:
    client = app.server.test_client()
    answer = client.post("/_dash-update-component", data=json.dumps(body), content_type="application/json")
    assert answer.status_code == 400
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"network.value": 5}, "a network is a text; got 5"),
        ({"layer.value": ["c"]}, "a layer is a text"),
        ({"methods.value": [["svd"]]}, "a method is a text"),
        ({"methods.value": 7}, "methods are a list"),
        ({"methods.value": ["svd"] * 10_000}, "each method may be named once"),
        ({"within.value": []}, "a set is a text"),
        ({"kept-params.value": [1, [2]]}, "two percents"),
        ({"inspected.data": {"a": 1}}, "a configuration is"),
        ({"precision.value": 4}, "a precision is a text; got 4"),
        ({"precision.value": "int4"}, "unknown precision of memory 'int4'"),
        ({"precision.value": "int8-weights"}, "Possible: f16, f32, int8"),
    ],
)
def test_an_answer_to_what_no_picker_gives_says_what_is_expected(app: Dash, changes: Any, told: str) -> None:
    answer = call(app, find(app, "counts.children"), {**ASKED, **changes})
    assert told in message(answer)
    assert len(answer.text) < 1000


@pytest.mark.parametrize("run", ["1", 1, 1.5, True, [1], {"id": 1}, "1 OR 1=1", 10**30])
def test_a_run_that_is_none_is_told(app: Dash, run: Any) -> None:
    for changed, place in (("run-shown.children", "run.data"), ("compared.children", "run-a.value")):
        assert "no run yet" in message(call(app, find(app, changed), {place: run}))


def test_an_unknown_failure_is_told_where_the_server_runs_alone(
    app: Dash, database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(name: str) -> None:
        raise RuntimeError("SELECT secret FROM somewhere")

    monkeypatch.setattr(database, "layers", fail)
    answer = call(app, find(app, "counts.children"), {"network.value": "net"})
    assert message(answer) == "That failed; the server's terminal shows where."
    assert "secret" not in answer.text
    assert "secret" in capsys.readouterr().err


def test_a_message_goes_when_the_same_callback_succeeds(app: Dash) -> None:
    name = find(app, "counts.children")
    wrong = call(app, name, {**ASKED, "within.value": "some"}).get_json()["sideUpdate"]
    right = call(app, name, ASKED).get_json()["sideUpdate"]
    assert list(wrong) == list(right) == ["message-answer"]
    assert "some" in wrong["message-answer"]["children"]
    assert right["message-answer"]["children"] == ""


def test_too_large_a_request_is_told(app: Dash) -> None:
    client, body = app.server.test_client(), b"x" * (LARGEST_REQUEST + 1)
    answer = client.post("/_dash-update-component", data=body, content_type="application/json")
    assert answer.status_code == 413
    assert answer.text == "a request holds at most 1,048,576 bytes"


def test_a_layer_without_errors_takes_back_the_limit_on_them(app: Dash) -> None:
    answer = call(app, find(app, "methods.options"), {"layer.value": "c", "network.value": "net"})
    assert answer.get_json()["response"]["error"] == {"disabled": True, "value": 100}


def test_a_method_without_errors_is_told_and_not_counted_under_a_limit(database: Database) -> None:
    known, unknown = answers(database, Question("net", "c", ("svd", "tucker")))
    found = [replace(known, errors_known=True), replace(unknown, count=0)]
    limited, free = (
        json.dumps(answer_table(found, Question("net", "c", (), error=error)), default=plain) for error in (50, 100)
    )
    assert '"children": "\\u2013"' in limited
    assert "Not counted: tucker. No error is known: run rankline explore MODEL --errors" in limited
    assert "Not counted" not in free
    assert '"children": "0"' in free
    assert '"children": "0"' not in limited


def test_a_network_without_configurations_says_why_and_hides_its_figures(app: Dash) -> None:
    asked = {"network.value": "kept", "layer.value": None}
    layer = call(app, find(app, "methods.options"), asked).get_json()["response"]
    assert layer["figures"] == {"hidden": True}
    assert (layer["methods"], layer["inspected"]) == ({"options": [], "value": []}, {"data": None})
    shown = call(app, find(app, "counts.children"), {**ASKED, **asked}).get_json()["response"]
    assert "No layer of kept has configurations. deep: depthwise is kept" in json.dumps(shown["counts"])
    assert call(app, find(app, "front.children"), {**ASKED, **asked}).get_json()["response"]["front"] == {
        "children": None
    }


@pytest.mark.parametrize(("precision", "size"), [(None, 4), ("f16", 2), ("int8", 1)])
def test_memory_is_read_at_the_precision(app: Dash, database: Database, precision: str | None, size: int) -> None:
    one = database.solutions("c", "svd", "net").configuration([2])
    asked = {**ASKED, "against.value": "memory_bytes", "inspected.data": "svd 2", "precision.value": precision}
    shown = call(app, find(app, "counts.children"), asked).get_json()["response"]
    traces = {trace["name"]: trace for trace in shown["cloud"]["figure"]["data"] if trace.get("name")}
    whole = one.original.params + one.original.fm
    assert traces["original"]["x"] == [size * whole]
    assert traces["chosen: SVD"]["x"] == [size * (one.params + one.fm)]
    assert traces.get("quantized original", {"x": []})["x"] == [less * whole for less in (2, 1) if less < size]
    assert traces["pruned original"]["x"] == [size * whole * filters // 12 for filters in (9, 6, 3)]
    assert f"(the layer: {si(size * whole, 'B')} at {precision or 'f32'})" in shown["kept-memory-text"]["children"]
    closely = call(app, find(app, "inspector.children"), asked).text
    assert count(size * (one.params + one.fm)) in closely


def test_a_window_on_memory_counts_the_same_at_every_precision(app: Dash) -> None:
    asked = {**ASKED, "kept-memory.value": [10, 40]}
    name = find(app, "counts.children")
    found = [call(app, name, {**asked, "precision.value": one}).get_json()["response"] for one in ("f32", "int8")]
    assert found[0]["counts"] == found[1]["counts"]


def test_the_basket_tells_the_bytes_of_weights_at_every_precision(app: Dash, database: Database) -> None:
    asked = {"basket.data": {"net": {"c": "svd 2"}}, "network.value": "net", "precision.value": "int8"}
    shown = call(app, find(app, "basket-shown.children"), asked).text
    before, after = database.totals({"c": database.solutions("c", "svd", "net").configuration([2])}, "net")
    for name, size in (("f32", 4), ("f16", 2), ("int8", 1)):
        assert f"weights at {name} (bytes)" in shown
        assert {f'"{size * one.params:,}"' in shown for one in (before, after)} == {True}
    assert "memory (bytes) at int8" in shown
    assert f'"{after.params + after.fm:,}"' in shown
    asked["precision.value"] = "int4"
    assert "unknown precision of memory" in message(call(app, find(app, "basket-shown.children"), asked))


def test_a_page_starts_at_the_precision_of_its_address(app: Dash) -> None:
    asked = {"url.pathname": "/", "url.search": "?network=net&layer=c&precision=int8"}
    assert '"id": "precision"' in (page := json.dumps(call(app, find(app, "page.children"), asked).get_json()))
    assert '"value": "int8"' in page
    asked["url.search"] = "?precision=int4"
    assert "unknown precision of memory" in call(app, find(app, "page.children"), asked).text


def test_a_basket_with_a_bad_entry_is_shown_with_the_reason_and_can_be_emptied(app: Dash) -> None:
    kept = {"net": {"c": "svd 9999", "d": "svd 2"}, "other": {"c": "svd 1"}}
    shown = call(app, find(app, "basket-shown.children"), {"basket.data": kept, "network.value": "net"}).text
    for part in ("left out: 'c' has no configuration 9999 by svd", "take out c", "Empty the basket", "Export the plan"):
        assert part in shown
    change = find(app, "basket.data")
    button = json.dumps({"layer": "c", "network": "net", "type": "remove"}, separators=(",", ":"))
    assert call(app, change, {"basket.data": kept}, button).get_json()["response"]["basket"]["data"] == {
        **kept,
        "net": {"d": "svd 2"},
    }
    button = json.dumps({"network": "net", "type": "empty"}, separators=(",", ":"))
    assert call(app, change, {"basket.data": kept}, button).get_json()["response"]["basket"]["data"] == {
        "other": {"c": "svd 1"}
    }


def test_an_address_that_only_follows_the_page_leaves_it_as_it_is(app: Dash) -> None:
    asked = {"url.pathname": "/", "url.search": "?network=net&layer=c"}
    followed = {**asked, "followed.data": "/?network=net&layer=c"}
    assert "page" in call(app, find(app, "page.children"), asked).get_json()["response"]
    assert "page" not in (call(app, find(app, "page.children"), followed).get_json().get("response") or {})


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_the_maps_of_a_chain_are_as_large_as_the_configuration_says(database: Database, layer: Layer) -> None:
    for row in database.spaces("net"):
        if row["layer"] == layer.name:
            for one in database.solutions(layer.name, row["method"], "net").random(5, seed=0):
                links = list(METHODS[one.method].chain(layer, one.ranks, one.shape))
                sizes = [size(map_text(link.sizes, link.channels, layer.positions)) for link in links]
                assert sum(sizes) == one.fm == cost_of(links, layer.positions).fm
                assert all(
                    map_text(link.sizes, link.channels, layer.positions)
                    in json.dumps(chain(layer, one), default=plain, ensure_ascii=False)
                    for link in links
                )


def size(text: str) -> int:
    product = 1
    for part in text.replace("(", "").replace(")", "").split(" × "):
        product *= int(part)
    return product


def plain(component: Any) -> Any:
    return component.to_plotly_json()
