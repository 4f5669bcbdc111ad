"""The explorer without a browser: its answers, what it takes from one, and how it is served."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from rankline.src.db.database import Database, open_database
from rankline.src.dse.errors import UserError
from rankline.src.dse.layer import conv, dense
from rankline.src.dse.metric import METRICS
from rankline.src.dse.plan import plan_from_json
from rankline.src.reports.explorer.answers import Question, answers, cloud
from rankline.src.reports.explorer.app import make_app
from rankline.src.reports.explorer.basket import basket_of, emptied, with_choice
from rankline.src.reports.explorer.configurations import as_text, solution_of
from rankline.src.reports.explorer.connections import MOST
from rankline.src.reports.explorer.safety import is_loopback
from rankline.src.reports.explorer.server import serve
from tests.helpers.explorer_server import NotServedError, served
from tests.reports.conftest import HOSTILE

LAYERS = [conv("c", (3, 3), 8, 12, (6, 6)), dense("a/b.c {x}", 16, 24), conv(HOSTILE, (3, 3), 4, 4, (6, 6))]
METHODS = ("tucker", "cp", "tt", "svd", "spatial_svd")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("explorer") / "space.db"
    database = open_database(str(made))
    database.explore(LAYERS, name="net")
    database.close()
    return made


@pytest.fixture(scope="module")
def database(path: Path) -> Iterator[Database]:
    opened = open_database(str(path), read_only=True)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(database: Database) -> FlaskClient:
    return make_app(database).server.test_client()


PERCENTS = st.tuples(st.integers(0, 100), st.integers(0, 100)).map(sorted)


@settings(deadline=None)
@given(
    within=st.sampled_from(["all", "better", "useful"]),
    kept=st.dictionaries(st.sampled_from(["params", "flops", "memory"]), PERCENTS),
)
def test_an_answer_is_what_the_database_says_of_the_same_windows(
    database: Database, within: str, kept: dict[str, list[int]]
) -> None:
    found = answers(database, Question("net", "c", METHODS, within, kept))
    for one in found:
        solutions = database.solutions("c", one.method, "net").within(within)
        frame = solutions.to_pandas()
        for metric, (low, high) in kept.items():
            whole = METRICS[metric].of(solutions.original)
            frame = frame[100 * frame[metric] >= low * whole] if low else frame
            frame = frame[100 * frame[metric] <= high * whole] if high < 100 else frame
        assert one.whole == solutions.count()
        assert one.count == len(frame)
        if len(frame):
            assert one.picks["fewest FLOPs"].flops == frame["flops"].min()
            assert one.picks["most FLOPs"].flops == frame["flops"].max()
        else:
            assert one.picks == {}


def test_the_cloud_shows_points_inside_the_windows_and_marks_the_chosen_one(database: Database) -> None:
    question = Question("net", "c", METHODS, kept={"params": (0, 50)}, against="memory_bytes")
    chosen = database.solutions("c", "svd", "net").configuration([2])
    figure = cloud(database, question, answers(database, question), chosen)
    names = ("Tucker", "CP", "TT", "SVD", "Spatial SVD")
    points = [trace for trace in figure["data"] if trace.get("name") in names]
    assert len(points) == len(METHODS)
    most = chosen.original.params // 2
    for trace in points:
        assert trace["x"]
        for row in trace["customdata"]:
            assert solution_of(database, "net", "c", row[0]).params <= most
    (mark,) = [trace for trace in figure["data"] if trace.get("name") == "chosen: SVD"]
    assert (mark["x"], mark["y"]) == ([chosen.memory], [chosen.flops])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"within": "some"}, "useful"),
        ({"against": "error"}, "params"),
        ({"kept": {"params": [60, 40]}}, "low before high"),
        ({"kept": {"params": [0, 1e9]}}, "from 0 to 100"),
        ({"kept": {"params": "x"}}, "two percents"),
        ({"kept": {"params; DROP TABLE line": [0, 50]}}, "params"),
        ({"error": "many"}, "percent"),
        ({"error": True}, "percent"),
        ({"layer": "none"}, "Possible"),
        ({"network": "none"}, "Possible"),
        ({"methods": ("qr",)}, "Possible"),
        ({"error": 50}, None),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_with_what_is_possible(
    database: Database, changes: dict[str, Any], told: str | None
) -> None:
    asked = {"network": "net", "layer": "c", "methods": METHODS, **changes}
    if told is None:  # no error is known: nothing meets the limit, and nothing fails
        assert [one.count for one in answers(database, Question(**asked))] == [0] * len(METHODS)
        return
    with pytest.raises(UserError, match=told):
        answers(database, Question(**asked))


@pytest.mark.parametrize("layer", [layer.name for layer in LAYERS])
def test_a_configuration_is_known_again_by_its_text(database: Database, layer: str) -> None:
    for row in database.spaces("net"):
        if row["layer"] == layer:
            for one in database.solutions(layer, row["method"], "net").within("all").random(5, seed=0):
                assert solution_of(database, "net", layer, as_text(one)) == one


@pytest.mark.parametrize(
    "text", [None, 3, [], "", "tucker", "tucker 0x1", "tucker 1x1x1", "tucker 99x99", "svd 1; x", "t3f 2 2x2:2x2:2x2"]
)
def test_another_text_is_refused(database: Database, text: Any) -> None:
    with pytest.raises(UserError):
        solution_of(database, "net", "c", text)


def test_a_basket_adds_up_and_its_plan_can_be_read(database: Database) -> None:
    kept = with_choice(None, "net", LAYERS[1].name, "svd 3")
    kept = with_choice(kept, "net", "c", "tucker 2x3")
    kept = with_choice(with_choice(kept, "other", "c", "svd 1"), "net", "c", "cp 4")
    basket = basket_of(database, "net", kept)
    assert list(basket.choices) == ["c", LAYERS[1].name]
    saved = sum(one.original.flops - one.flops for one in basket.choices.values())
    assert basket.before.flops - basket.after.flops == saved > 0
    plan = plan_from_json(basket.plan())
    assert (plan["c"].method, plan["c"].ranks) == ("cp", (4,))
    assert list(basket_of(database, "net", with_choice(kept, "net", "c", None)).choices) == [LAYERS[1].name]


@pytest.mark.parametrize(
    ("layer", "text", "why"), [("none", "svd 1", "no such layer"), ("c", "svd 9999", "no configuration"), ("c", 3, "3")]
)
def test_what_is_no_configuration_leaves_the_rest_of_a_basket_as_it_is(
    database: Database, layer: str, text: Any, why: str
) -> None:
    good = with_choice(None, "net", LAYERS[1].name, "svd 3")
    alone, basket = (basket_of(database, "net", kept) for kept in (good, with_choice(good, "net", layer, text)))
    assert basket.choices == alone.choices
    assert (basket.before, basket.after, basket.plan()) == (alone.before, alone.after, alone.plan())
    assert list(basket.refused) == [layer]
    assert why in basket.refused[layer]


@pytest.mark.parametrize("kept", [None, 3, [], {"net": "all"}, {"net": None}, {"other": {"c": "svd 1"}}])
def test_what_is_no_basket_is_an_empty_one_and_can_be_filled(database: Database, kept: Any) -> None:
    basket = basket_of(database, "net", kept)
    assert (basket.choices, basket.refused, basket.before) == ({}, {}, basket.after)
    assert list(basket_of(database, "net", with_choice(kept, "net", "c", "svd 1")).choices) == ["c"]


def test_a_basket_is_emptied_for_its_network_alone() -> None:
    assert emptied({"net": {"c": "svd 9999"}, "other": {"c": "svd 1"}}, "net") == {"other": {"c": "svd 1"}}


def test_every_answer_has_the_headers_that_keep_a_page_to_itself(client: FlaskClient) -> None:
    for address in ("/", "/_dash-layout", "/nowhere", "/assets/explorer.css"):
        headers = client.get(address).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe-eval" not in headers["Content-Security-Policy"]
        assert "script-src 'self' 'sha256-" in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_only_the_machines_own_names_are_answered_to(client: FlaskClient) -> None:
    for name in ("localhost:8050", "LocalHost", "127.0.0.1", "127.0.0.2:8050", "[::1]:80", "[::1]"):
        assert client.get("/", headers={"Host": name}).status_code == 200
    for name in ("rebound.example", "127.0.0.1.example:80", "192.0.2.1", "[2001:db8::1]:80", ""):
        assert client.get("/", headers={"Host": name}).status_code == 400


@pytest.mark.parametrize(
    ("host", "own"),
    [
        *((own, True) for own in ("127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost", "LOCALHOST")),
        *((other, False) for other in ("0.0.0.0", "192.0.2.1", "box", "")),
    ],
)
def test_an_address_of_the_machine_alone_is_known(host: str, own: bool) -> None:
    assert is_loopback(host) is own


def test_nothing_is_written(client: FlaskClient, path: Path) -> None:
    before = path.read_bytes()
    body = {"output": "page.children", "outputs": {"id": "page", "property": "children"}, "inputs": [], "state": []}
    for address in ("/", "/_dash-layout", "/_dash-dependencies"):
        assert client.get(address).status_code == 200
    client.post("/_dash-update-component", data=json.dumps(body), content_type="application/json")
    assert path.read_bytes() == before


def test_a_port_in_use_is_told(path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match="in use; give another"):
        serve(str(path), port=taken.getsockname()[1])


def test_an_address_that_is_not_the_machines_is_told(path: Path) -> None:
    with pytest.raises(UserError, match="cannot listen on 192.0.2.1"):
        serve(str(path), host="192.0.2.1", port=0)


def test_a_host_that_is_none_is_told(path: Path) -> None:
    with pytest.raises(UserError, match="knows no such host"):
        serve(str(path), host="nobody.invalid", port=0)


@pytest.mark.parametrize("host", ["127.0.0.2", "[::1]", "::1", "localhost"])
def test_the_address_that_is_told_can_be_asked(path: Path, host: str) -> None:
    try:
        with served(path, "--host", host) as address, urlopen(address, timeout=20) as answer:
            assert answer.status == 200
    except NotServedError as error:
        if ":" not in host or "cannot listen on" not in str(error):
            raise
        pytest.skip("this machine has no IPv6")


def test_a_database_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no database at"):
        serve(str(tmp_path / "none.db"))


def test_without_the_extra_it_says_what_to_install(path: Path) -> None:
    code = (
        f"import sys; sys.modules['dash'] = None; from rankline.cli import main; main(['serve', '--db', {str(path)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'rankline[web]'" in done.stderr


def test_a_locked_database_is_told_and_not_a_failure(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    opened = open_database(str(copy), read_only=True)
    opened.close()
    holder = sqlite3.connect(copy, isolation_level=None)
    holder.execute("PRAGMA journal_mode = DELETE")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UserError, match="is locked"):
        answers(opened, Question("net", "c", METHODS))
    holder.close()
    opened.close()


def test_slow_clients_do_not_shut_others_out(path: Path) -> None:
    """Those that send a byte now and then, and those that read nothing of a long answer."""
    starts = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
        b"POST /_dash-update-component HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n{",
        b"GET /_dash-component-suites/plotly/package_data/plotly.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ]
    with served(path) as address:
        port = int(address.rsplit(":", 1)[1])
        slow = []
        for number in range(MOST + 60):
            slow.append(socket.create_connection(("127.0.0.1", port), 20))
            slow[-1].sendall(starts[2 if number % 20 == 0 else number % 2])
        for _ in range(3):
            with urlopen(address, timeout=20) as answer:
                assert answer.status == 200
            for one in slow:
                with suppress(OSError):
                    one.sendall(b"a")
        for one in slow:
            one.close()


@pytest.mark.parametrize(
    "address",
    [
        "/_dash-component-suites/nothing/x.js",
        "/_dash-component-suites/dash/nothing.js",
        "/_dash-component-suites/dash/../../app.py",
        "/_dash-component-suites/dash",
        "/assets/..",
        "/assets/%2e%2e/app.py",
        "/assets/nothing.js",
        "/_nothing",
    ],
)
def test_an_unknown_file_is_not_found(client: FlaskClient, address: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert client.get(address).status_code == 404
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"null", b"{}", b'{"output": 7, "inputs": 7}']
)
def test_a_body_that_no_page_sends_is_refused(
    client: FlaskClient, body: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert client.post("/_dash-update-component", data=body, content_type="application/json").status_code == 400
    assert "Traceback" not in capfd.readouterr().err
