"""How many attempts without a signature the audit log takes: it is kept for ever, and anybody who can write to a topic could fill it."""

from collections import deque
from datetime import datetime, timedelta
from typing import Final

RECORDED: Final = 100  # in any hour, of commands and candidates together
SPAN: Final = timedelta(hours=1)


class Attempts:
    """The times of those that were recorded lately, and how many were not. What is forgotten at a restart is at most an hour's worth."""

    def __init__(self) -> None:
        self._recorded: deque[datetime] = deque()
        self._passed_over = 0

    def take(self, now: datetime) -> bool:
        """Whether one more may be recorded at ``now``."""
        while self._recorded and now - self._recorded[0] >= SPAN:
            self._recorded.popleft()
        if len(self._recorded) >= RECORDED:
            self._passed_over += 1
            return False
        self._recorded.append(now)
        return True

    def passed_over(self) -> int:
        """How many were not recorded since this was asked last."""
        found, self._passed_over = self._passed_over, 0
        return found
