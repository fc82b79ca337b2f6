"""How the demo speaks: stages, progress bars where there is a terminal, and what happens as it happens."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Narrator:
    """Prints to one console; lines may come from any thread."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._started = time.monotonic()
        self._progress: Progress | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._started

    def stage(self, title: str) -> None:
        """A new part of the demo."""
        self.console.print(f"\n[bold]{title}[/]  [dim]{self.elapsed:.0f} s[/]", highlight=False)

    def say(self, text: str, style: str = "") -> None:
        """One line; square brackets in ``text`` are text."""
        self.console.print(f"  {text}", style=style, markup=False, highlight=False)

    @contextmanager
    def progress(self, title: str, total: float) -> Iterator["Bar"]:
        """A bar for the length of a block."""
        columns = (TextColumn("  {task.description}"), BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as progress:
            yield Bar(progress, progress.add_task(title, total=total))


class Bar:
    """One progress bar."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, count: float = 1) -> None:
        """``count`` more are done."""
        self._progress.advance(self._task, count)

    def tell(self, title: str, completed: float) -> None:
        """Change what the bar says."""
        self._progress.update(self._task, description=title, completed=completed)
