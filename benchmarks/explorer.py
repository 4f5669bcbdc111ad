"""How fast the web explorer answers, over HTTP, on a file with all fourteen networks.

Random windows on the layer with the largest space, by all its methods, and on layers drawn from all networks: each is
the whole answer that a moved slider gets, counts, picks and figure, as the server gives it. The peer, in the same run:
the same counts and picks by SQL. And the first page in a browser, until counts and figure stand. Needs the extra
``web`` and Chromium. Run: python -m benchmarks.explorer
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any
from urllib.request import Request, urlopen

from playwright.sync_api import sync_playwright

from benchmarks.record import record
from benchmarks.zoo import explore
from rankline.src.db.database import Database, open_database
from rankline.src.dse.metric import counted
from rankline.src.dse.zoo import FOURTEEN
from rankline.src.reports.figures.images import BROWSERS

SETS = ("useful", "better", "all")


class Page:
    """The page's question for counts and cloud, as the browser sends it."""

    def __init__(self, address: str) -> None:
        self.address = address
        with urlopen(f"{address}/_dash-dependencies") as answer:
            known = json.loads(answer.read())
        (self.wanted,) = [one for one in known if "cloud.figure" in one["output"]]

    def ask(self, values: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        """Seconds until the answer is there whole, and the answer."""
        outputs = [
            dict(zip(("id", "property"), one.split("."), strict=True))
            for one in self.wanted["output"].strip(".").split("...")
        ]
        given = {
            part: [{**one, "value": values.get(one["id"])} for one in self.wanted[part]] for part in ("inputs", "state")
        }
        body = {"output": self.wanted["output"], "outputs": outputs, "changedPropIds": ["within.value"], **given}
        data = json.dumps(body).encode()
        request = Request(f"{self.address}/_dash-update-component", data, {"Content-Type": "application/json"})
        started = perf_counter()
        with urlopen(request) as answer:
            found = answer.read()
        return perf_counter() - started, json.loads(found)["response"]


def drawn(draw: random.Random, network: str, layer: str, methods: list[str]) -> dict[str, Any]:
    """A question with one to three windows, and none or one of them open above."""
    values: dict[str, Any] = {f"kept-{metric}": [0, 100] for metric in counted()}
    for metric in draw.sample(list(counted()), draw.randint(1, len(counted()))):
        low = draw.randint(0, 95)
        values[f"kept-{metric}"] = [low, draw.choice([min(100, low + 5), min(100, low + 30), 100])]
    values |= {"network": network, "layer": layer, "methods": methods, "within": draw.choice(SETS)}
    return values | {"against": draw.choice(["params", "memory_bytes"]), "error": 100, "inspected": None}


def by_sql(database: Database, values: dict[str, Any]) -> float:
    """Seconds for the counts and picks of the same windows, by SQL, without a figure."""
    started = perf_counter()
    for method in values["methods"]:
        solutions = database.solutions(values["layer"], method, values["network"]).within(values["within"])
        windows: dict[str, Any] = {}
        for metric in counted():
            low, high = values[f"kept-{metric}"]
            if (low, high) != (0, 100):
                windows[f"{metric}_reduction"] = (1 - high / 100 if high < 100 else None, 1 - low / 100)
        solutions.where(**windows).summary()
    return perf_counter() - started


def spread(times: list[float]) -> dict[str, float]:
    """Median, 95th percentile and largest, in seconds."""
    return {
        "median_s": median(times),
        "p95_s": quantiles(times, n=20)[-1],
        "max_s": max(times),
        "questions": len(times),
    }


@contextmanager
def served(path: Path) -> Iterator[str]:
    """The address of the explorer of a database, in a process of its own."""
    command = [sys.executable, "-m", "rankline", "serve", "--db", str(path), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            told = next((line for line in server.stderr or () if "explore at " in line), None)
            if told is None:
                raise RuntimeError("the explorer did not start")
            yield told.split("explore at ")[1].split()[0].rstrip("/")
        finally:
            server.terminate()


def first_pages(address: str, network: str, layer: str) -> dict[str, float]:
    """Seconds until counts and figure of a page stand, in a browser that has nothing of it yet."""
    found = {}
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name, query in (("first page", ""), ("largest space", f"?network={network}&layer={layer}")):
            times = []
            for _ in range(5):
                page = browser.new_page(viewport={"width": 1440, "height": 900})
                started = perf_counter()
                page.goto(f"{address}/{query}")
                page.wait_for_selector("#total")
                page.wait_for_selector("#cloud .scatterlayer .trace")
                times.append(perf_counter() - started)
                page.close()
            found[name] = {"first_s": times[0], "median_s": median(times)}
        browser.close()
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "zoo.db"
        explored = explore(path)
        database = open_database(str(path), read_only=True)
        spaces = [(network, row) for network in FOURTEEN for row in database.spaces(network)]
        network, row = max(spaces, key=lambda pair: pair[1].n_lines)
        methods: dict[tuple[str, str], list[str]] = {}
        for name, one in spaces:
            methods.setdefault((name, one.layer), []).append(one.method)
        largest, everywhere = (network, row.layer), list(methods)
        with served(path) as address:
            pages = first_pages(address, *largest)
            page = Page(address)
            questions = {
                "largest space": [drawn(draw, *largest, methods[largest]) for _ in range(options.windows)],
                "layers of all networks": [
                    drawn(draw, *layer, methods[layer]) for layer in draw.choices(everywhere, k=options.windows)
                ],
            }
            found = {name: spread([page.ask(one)[0] for one in some]) for name, some in questions.items()}
        sql = {name: spread([by_sql(database, one) for one in some]) for name, some in questions.items()}
        database.close()
    figures = {
        "file": {key: explored[key] for key in ("networks", "spaces", "configurations", "lines", "file_bytes")},
        "largest": {"layer": "/".join(largest), "lines": row.n_lines, "configurations": row.n_total},
        "answers": found,
        "counts and picks by SQL": sql,
        "ratios": {f"sql / answer, {name}": sql[name]["median_s"] / found[name]["median_s"] for name in found},
        "pages in a browser": pages,
    }
    print(record("explorer", options.seed, ("dash", "plotly", "numpy", "sqlalchemy"), figures))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
