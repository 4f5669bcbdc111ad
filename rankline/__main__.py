"""``python -m rankline``."""

from rankline.cli import main

main()
