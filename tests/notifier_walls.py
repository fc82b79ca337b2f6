"""A channel that remembers what it was told, and a delivery to such channels with its ledger's topic and a clock."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from notifier_scene import alert

from schemas.events.monitoring import Severity
from schemas.events.notifier import Notification
from services.notifier.delivery import Delivery, Late, Patience
from services.notifier.lateness import Overdue
from services.notifier.ledger import Ledger
from services.notifier.notices import Notice, of_alert
from shared.clock import FixedClock
from shared.errors import OutcomeUnknownError


class Wall:
    """A channel that remembers what was sent and raises what it is told to."""

    def __init__(
        self,
        name: str = "wall",
        least: Severity = "inform",
        errors: list[Exception] | None = None,
        *,
        for_people: bool = True,
    ) -> None:
        self.name = name
        self.for_people = for_people
        self.notices: list[Notice] = []
        self.least: Severity = least
        self.sent: list[tuple[str, str | None]] = []
        self.errors = errors or []

    async def send(self, notice: Notice, opened: str | None) -> str | None:
        if self.errors:
            raise self.errors.pop(0)
        self.sent.append((notice.state, opened))
        self.notices.append(notice)
        return f"m{len(self.sent)}"


class Scene:
    """A delivery with its ledger's topic and a clock that sleeping moves."""

    def __init__(self, *walls: Wall, ledger: Ledger | None = None) -> None:
        self.topic: list[Notification] = []
        self.writes = 0
        self.kafka_away = 0  # how many writes fail before the next one succeeds
        self.clock = FixedClock(datetime(2024, 3, 1, tzinfo=UTC))
        self.slept: list[float] = []
        self.ledger = ledger or Ledger()
        self.delivery = Delivery(walls, self.ledger, self._write, self.clock, Patience(60.0, self._sleep))

    async def _write(self, entries: Sequence[Notification]) -> None:
        if self.kafka_away:
            self.kafka_away -= 1
            raise OutcomeUnknownError("nothing was acknowledged")
        self.writes += 1
        self.topic += entries

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(timedelta(seconds=seconds))

    async def tell(self, state: str = "firing", episode: str = "ep1", *, again: bool = False) -> None:
        notice = of_alert(alert(state, episode=episode))
        assert notice is not None
        await self.delivery.deliver(notice, again=again)

    async def tell_late(self, *overdue: Overdue) -> None:
        """What the first of ``overdue`` comes to, with the others behind it on the topic."""

        async def behind() -> Sequence[Overdue]:
            return overdue[1:]

        await self.delivery.deliver(overdue[0].notice, late=Late(overdue[0].age, behind))

    @property
    def statuses(self) -> list[str]:
        return [entry.status for entry in self.topic]
