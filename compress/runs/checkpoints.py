"""The models of a run's trials, stored next to the database, so that an interrupted run can be resumed."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import keras
from filelock import FileLock, Timeout

from rankline.src.compress.model.files import save_model
from rankline.src.db.backends.location import sqlite_path
from rankline.src.db.database import Database
from rankline.src.db.records.runs import SUCCESS
from rankline.src.dse.errors import UserError
from rankline.src.dse.keras_model.source import load_model


class Checkpoints:
    """A folder for one run, with its last trial and its best one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the run while this process works on it. Raises UserError if another process has the lock."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / "lock", timeout=0)
            lock.acquire()
        except Timeout:
            raise UserError(f"another process is working on this run ({self.folder}); wait for it to end") from None
        except OSError as error:
            raise UserError(f"cannot write checkpoints to {self.folder}: {error}") from error
        try:
            yield
        finally:
            lock.release()

    def save(self, number: int, model: keras.Model) -> None:
        """Writes a trial's model atomically. Raises UserError if it can't be written."""
        save_model(model, self._path(number))

    def load(self, number: int) -> keras.Model:
        """A trial's model. Raises UserError if there is none."""
        return load_model(str(self._path(number)))

    def keep_only(self, numbers: Collection[int]) -> None:
        """Removes the models of all other trials."""
        kept = {self._path(number) for number in numbers}
        for path in self.folder.glob("trial-*.keras"):
            if path not in kept:
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Removes the folder when nothing is left to resume, and its parent if that is empty."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            self.folder.parent.rmdir()

    def _path(self, number: int) -> Path:
        return self.folder / f"trial-{number:04}.keras"


def checkpoints_of(location: str, run_id: int) -> Checkpoints | None:
    """The checkpoints of a run in the database at ``location``; None if that is not a file."""
    path = sqlite_path(location)
    return None if path is None else Checkpoints(path.with_name(f"{path.name}.runs") / str(run_id))


def clear_finished(database: Database) -> None:
    """Removes the checkpoints of runs that ended well and were killed before they could do so themselves.

    Those of a hybrid's searches stay: another hybrid may combine them.
    """
    for row in database.runs():
        kept = checkpoints_of(database.location, row.id)
        if row.status == SUCCESS and row.settings.get("request") and kept is not None and kept.folder.is_dir():
            with suppress(UserError), kept.locked():
                kept.remove()
