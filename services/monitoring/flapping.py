"""Whether an alert fires and resolves again and again: then it is one long episode instead of a message each time. Pure.

Fixed numbers, not settings, because they follow from those that are: of the tightest budget, one false alarm in 30 windows, three
within 20 windows come by chance 3 times in 100, of the budgets of warnings and pages 2 times in 1,000 and less. And three firings
within 20 windows are 9.5 windows apart at most, on average: who is calm for 10 windows has broken the rhythm. Counted are windows that
said something about the alert, as for its end.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, Self

TIMES: Final = 3  # firings, of episodes of their own,
WITHIN: Final = 20  # within so many windows are flapping
CALM: Final = 10  # quiet windows in a row that end a flapping episode


@dataclass(frozen=True, slots=True)
class Firings:
    """``windows``: how many have said something so far; ``begun``: at which of them the last `TIMES` firings began."""

    windows: int = 0
    begun: tuple[int, ...] = ()

    def after_window(self) -> Self:
        """One window more."""
        return replace(self, windows=self.windows + 1)

    def with_one_more(self) -> Self:
        """A firing begins in the present window."""
        return replace(self, begun=(*self.begun, self.windows)[-TIMES:])

    @property
    def flapping(self) -> bool:
        """Whether the last `TIMES` firings lie within `WITHIN` windows."""
        return len(self.begun) == TIMES and self.begun[-1] - self.begun[0] < WITHIN

    def content(self) -> dict[str, Any]:
        """As JSON."""
        return {"windows": self.windows, "begun": list(self.begun)}

    @classmethod
    def restored(cls, content: dict[str, Any]) -> Self:
        """The inverse of `content`; of a checkpoint from before firings were counted: none."""
        return cls(content.get("windows", 0), tuple(content.get("begun", ())))


def flapping_words() -> str:
    """What a summary says of it."""
    return f"flapping: fired {TIMES} times within {WITHIN} windows, so it stays firing until {CALM} are quiet in a row"
