"""A file is written whole or not at all, and what a killed process left is cleared."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rankline.src.dse.clock import check_clock
from rankline.src.dse.configuration import Configuration
from rankline.src.dse.error_table import to_bytes
from rankline.src.dse.errors import UserError
from rankline.src.dse.plan import write_plan
from rankline.src.dse.whole_file import whole_file, write_text, write_texts


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_older_plan_survives_a_full_disk(tmp_path: Path) -> None:
    """Here for want of the right to write a file as large as that."""
    path = tmp_path / "small.plan.json"
    write_plan({"conv1": Configuration("tucker", (1, 3))}, path)
    before = path.read_text()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(UserError, match=r"cannot write .*small.plan.json: File too large"):
            write_plan({f"layer{j}": Configuration("tucker", (3, 4)) for j in range(200)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert path.read_text() == before
    assert names(tmp_path) == ["small.plan.json"]


def test_a_full_disk_is_told_as_one_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No space left on device; make room"), whole_file(tmp_path / "a.txt"):
        raise OSError(28, "No space left on device")
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def write() -> None:
        with whole_file(tmp_path / "a.txt") as partial:
            partial.write_text("half")
            raise error

    write_text(tmp_path / "a.txt", "before")
    with pytest.raises((UserError, KeyboardInterrupt)):
        write()
    assert (tmp_path / "a.txt").read_text() == "before"
    assert names(tmp_path) == ["a.txt"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "there" / "real.txt")
    (tmp_path / "dangling.txt").symlink_to("there/new.txt")
    for name in ("link.txt", "dangling.txt"):
        write_text(tmp_path / name, "new")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_text() == "new"
    assert names(tmp_path / "there") == ["new.txt", "real.txt"]


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "folder.txt").mkdir()
    for path, what in (
        (tmp_path / "pipe.txt", "pipe"),
        (Path("/dev/null"), "device"),
        (tmp_path / "folder.txt", "folder"),
    ):
        with pytest.raises(UserError, match=what):
            write_text(path, "new")
    assert names(tmp_path) == ["folder.txt", "pipe.txt"]


def test_a_name_as_long_as_can_be_is_written(tmp_path: Path) -> None:
    path = tmp_path / f"{'n' * 250}.json"
    write_text(path, "{}")
    assert names(tmp_path) == [path.name]


def test_what_a_killed_process_left_is_cleared_and_what_others_write_is_not(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom rankline.src.dse.whole_file import whole_file\n"
        f"with whole_file(Path({str(tmp_path)!r}) / 'a.txt') as partial:\n"
        "    partial.write_text('half')\n    print('writes', flush=True)\n    time.sleep(60)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    (draft,) = names(tmp_path)
    assert str(writer.pid) in draft
    elsewhere = draft.replace(draft.split(".")[-3].split("-")[0], "0a1b2c3d")
    mine = ".a.part.txt"
    for name in (elsewhere, mine):
        (tmp_path / name).touch()
    write_texts(tmp_path, {"b.txt": "b"})
    assert names(tmp_path) == sorted([draft, elsewhere, mine, "b.txt"])
    writer.kill()
    writer.communicate()
    write_text(tmp_path / "c.txt", "c")
    assert names(tmp_path) == sorted([elsewhere, mine, "b.txt", "c.txt"])


@pytest.mark.parametrize("year", [1970, 1979, 2108])
def test_a_clock_that_zip_files_cannot_hold_is_named(monkeypatch: pytest.MonkeyPatch, year: int) -> None:
    seconds = time.mktime((year, 6, 1, 0, 0, 0, 0, 0, 0))
    monkeypatch.setattr(time, "time", lambda: seconds)
    with pytest.raises(UserError, match=f"clock stands at {year}-06-01.*set the clock"):
        check_clock()
    with pytest.raises(UserError, match="set the clock"):
        to_bytes({})
