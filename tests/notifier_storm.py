"""Alerts that arrive on a topic while time passes, told by the notifier's real parts one record after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from notifier_scene import alert
from notifier_walls import Scene, Wall

from services.notifier.gathering import Gathering
from services.notifier.lateness import MOST_TOGETHER
from services.notifier.ledger import Ledger
from services.notifier.notices import Notice, brief_of_alert, of_alert
from services.notifier.storms import Waiting
from shared.errors import TransientError

THRESHOLD = 20
WINDOW = timedelta(minutes=1)


@dataclass
class Arrivals:
    """The topic of alerts: each with the second at which it is appended. An `Ahead`: what is later is not there yet."""

    alerts: list[tuple[float, Any]] = field(default_factory=list)
    unreadable: bool = False
    scene: Scene | None = None

    def add(self, second: float, state: str = "firing", *, number: int | None = None, **changes: Any) -> None:
        """Alert ``number``, a new one by default."""
        name = len(self.alerts) if number is None else number
        self.alerts.append((second, alert(state, episode=f"ep{name}", fingerprint=f"fp{name}", **changes)))

    def waiting(self, offset: int) -> Waiting:
        second, body = self.alerts[offset]
        notice = brief_of_alert(body)
        assert notice is not None
        return Waiting(offset, int(second * 1000), notice)

    async def behind(self, offset: int) -> Sequence[Waiting]:
        if self.unreadable:
            problem = "not now"
            raise TransientError(problem)
        assert self.scene is not None
        now = self.scene.clock.monotonic()
        there = [number for number in range(offset + 1, len(self.alerts)) if self.alerts[number][0] <= now]
        return [self.waiting(number) for number in there[:MOST_TOGETHER]]


class Play:
    """A notifier from its start on, with these channels, and the ledger it finds."""

    def __init__(self, arrivals: Arrivals, *walls: Wall, ledger: Ledger | None = None, at: float = 0.0) -> None:
        self.scene = Scene(*walls, ledger=ledger)
        self.scene.clock.advance(timedelta(seconds=at))
        self.arrivals = arrivals
        arrivals.scene = self.scene
        self.gathering = Gathering(
            arrivals,
            self.scene.delivery,
            threshold=THRESHOLD,
            window=WINDOW,
            clock=self.scene.clock,
            sleep=self.scene._sleep,
        )
        self.told_after: list[float] = []  # seconds that each alert waited for its own turn to be over

    async def run(self, first: int = 0, last: int | None = None) -> "Play":
        """The records from ``first`` to before ``last``, each as soon as it is there."""
        for offset in range(first, len(self.arrivals.alerts) if last is None else last):
            second, body = self.arrivals.alerts[offset]
            now = self.scene.clock.monotonic()
            if second > now:
                self.scene.clock.advance(timedelta(seconds=second - now))
            notice = of_alert(body)
            assert notice is not None
            others = await self.gathering.with_those_behind(self._seen(offset, notice))
            await self.scene.delivery.deliver(notice, storm=others)
            self.told_after.append(self.scene.clock.monotonic() - second)
        return self

    def _seen(self, offset: int, notice: Notice) -> Waiting:
        return Waiting(offset, int(self.arrivals.alerts[offset][0] * 1000), notice)
