"""How far a download is: one line that is written over on a terminal, a few lines elsewhere."""

import sys
from collections.abc import Callable
from typing import IO, Final

STEPS: Final = 4  # lines in all where they stay


class Progress:
    """Told of each file that has arrived."""

    def __init__(self, files: int, report: Callable[[str], None], terminal: IO[str] | None = None) -> None:
        """``report`` takes lines that stay. ``terminal``: where to write over one line; stderr, where that is a terminal."""
        self._files = files
        self._report = report
        self._terminal = terminal or (sys.stderr if sys.stderr.isatty() else None)
        self._arrived = 0
        self._bytes = 0

    def arrived(self, size: int) -> None:
        """One more file of ``size`` bytes."""
        before, self._arrived = self._arrived, self._arrived + 1
        self._bytes += size
        text = f"Fetched {self._arrived} of {self._files} files ({self._bytes / 1e6:.0f} MB)"
        if self._terminal is not None:
            self._terminal.write(f"\r\x1b[K{text}" + ("\n" if self._arrived == self._files else ""))
            self._terminal.flush()
        elif self._arrived * STEPS // self._files > before * STEPS // self._files:
            self._report(text)
