"""The file opens in the tools that people have: the ``sqlite3`` shell and Datasette."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from rankline.src.db.database import open_database
from rankline.src.db.queries.sql import run_sql
from rankline.src.dse.layer import conv, dense

SELECT = "SELECT method, r1, r2, params, flops FROM configuration WHERE layer = 'c' ORDER BY method, params, r1, r2, r3"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("tools") / "space.db"
    database = open_database(str(found))
    database.explore([conv("c", (3, 3), 4, 6, (8, 8)), dense("d", 12, 10)], name="small")
    database.close()
    return found


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="there is no sqlite3 shell (apt-get install sqlite3)")
def test_the_sqlite3_shell_reads_tables_and_views(path: Path) -> None:
    done = subprocess.run(
        ["sqlite3", "-readonly", "-json", str(path), SELECT], capture_output=True, text=True, timeout=60, check=True
    )
    found = run_sql(str(path), SELECT)
    assert [tuple(row.values()) for row in json.loads(done.stdout)] == found.rows
    assert len(found.rows) > 100


@contextmanager
def datasette(path: Path) -> Iterator[str]:
    """The address of a server on the file, on the loopback interface alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "datasette", "serve", str(path), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while True:
            assert server.poll() is None, server.stderr and server.stderr.read()
            assert time.monotonic() < deadline, "Datasette did not start within a minute"
            try:
                urlopen(f"http://127.0.0.1:{port}/-/versions.json", timeout=5).close()
                break
            except (URLError, TimeoutError):
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)


def get(url: str) -> str:
    with urlopen(url, timeout=30) as answer:
        assert answer.status == 200
        return str(answer.read().decode())


def test_datasette_serves_tables_views_and_queries(path: Path) -> None:
    pytest.importorskip("datasette")
    with datasette(path) as server:
        assert ">small<" in get(f"{server}/space/network")
        (network,) = json.loads(get(f"{server}/space/network.json?_shape=array"))
        assert network["name"] == "small"
        (summary,) = json.loads(get(f"{server}/space/network_summary.json?_shape=array"))
        assert summary["layers"] == 2
        sql = f"{SELECT} LIMIT 20"
        rows = json.loads(get(f"{server}/space.json?{urlencode({'sql': sql, '_shape': 'array'})}"))
        assert [tuple(row.values()) for row in rows] == run_sql(str(path), sql).rows
