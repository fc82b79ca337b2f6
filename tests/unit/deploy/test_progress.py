"""How a download is told."""

import io

from deploy.local.progress import STEPS, Progress


def test_without_a_terminal_a_download_is_a_few_lines() -> None:
    told: list[str] = []
    progress = Progress(61, told.append)
    for _ in range(61):
        progress.arrived(1_000_000)
    assert len(told) == STEPS
    assert told[-1] == "Fetched 61 of 61 files (61 MB)"


def test_on_a_terminal_a_download_is_one_line_that_is_written_over() -> None:
    told: list[str] = []
    terminal = io.StringIO()
    progress = Progress(3, told.append, terminal)
    for _ in range(3):
        progress.arrived(2_000_000)
    assert told == []
    assert terminal.getvalue().count("\n") == 1
    assert terminal.getvalue().endswith("Fetched 3 of 3 files (6 MB)\n")
