"""``python -m cli``: the same as ``headrace``."""

from cli.main import run

run()
