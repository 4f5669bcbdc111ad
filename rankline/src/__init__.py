"""The rooms, as links to the top folders of the repository, so that a user's modules can't shadow them."""

from pathlib import Path

# A checkout without symbolic links, as on Windows without developer mode, has small text files instead.
if any((Path(__file__).parent / room).is_file() for room in ("dse", "db", "compress", "reports")):
    raise ImportError(
        "this checkout of Rankline has text files in the place of symbolic links; install the wheel instead "
        "(pip install rankline), or check out again with: git -c core.symlinks=true clone"
    )
