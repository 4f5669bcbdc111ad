"""Where a model can be written."""

from __future__ import annotations

import os
from pathlib import Path

from rankline.src.dse.clock import check_clock
from rankline.src.dse.errors import UserError
from rankline.src.dse.whole_file import check_file


def check_target(path: Path, suffix: str = ".keras") -> None:
    """Raises UserError where a model cannot be written to ``path``: before hours of training, not after."""
    if path.suffix != suffix:
        raise UserError(f"a model is written as a {suffix} file; got '{path.name}'")
    if not path.parent.is_dir():
        raise UserError(f"cannot write {path}: the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"cannot write {path}: the folder {path.parent} is read-only; give another")
    check_file(path)
    check_clock()


def check_folder(folder: Path) -> None:
    """Raises UserError where files can't be written into a folder, which may not be there yet."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"what is made is written into a folder; {folder} is a file")
    first = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not os.access(first, os.W_OK):
        raise UserError(f"cannot write {folder}: the folder {first} is read-only; give another")
    check_clock()
