"""The ledger of what was sent where: a fold of ``notifications``, the only memory against duplicates."""

from datetime import datetime

from schemas.events.notifier import Notification
from schemas.identities import derived_id
from services.notifier.notices import Notice

SETTLED = frozenset({"delivered", "failed"})
DELIVERED = frozenset({"delivered"})


def notification_id(channel: str, notice: Notice, state: str | None = None) -> str:
    """Identity of a notice on a channel: one per channel, subject, episode and state."""
    return derived_id("notification", channel, notice.subject, notice.episode, state or notice.state)


class Ledger:
    """The last status of every notification."""

    def __init__(self) -> None:
        """Empty."""
        self._entries: dict[str, Notification] = {}
        self.last_written: datetime | None = None  # by the clock of whoever wrote it

    def apply(self, notification: Notification) -> None:
        """One record of the topic. What was delivered stays so, and what failed until a later attempt begins."""
        self.last_written = max(self.last_written or notification.at, notification.at)
        held = self._entries.get(notification.notification_id)
        if (
            held is None
            or held.status not in SETTLED
            or (held.status == "failed" and notification.attempts > held.attempts)
        ):
            self._entries[notification.notification_id] = notification

    def settled(self, channel: str, notice: Notice, *, again: bool = False) -> bool:
        """Whether nothing is left to be done; ``again``: a failure may be tried once more."""
        held = self._entries.get(notification_id(channel, notice))
        return held is not None and held.status in (DELIVERED if again else SETTLED)

    def attempts(self, channel: str, notice: Notice) -> int:
        """How often it was begun before."""
        held = self._entries.get(notification_id(channel, notice))
        return held.attempts if held is not None else 0

    def begun(self, channel: str, notice: Notice) -> bool:
        """Whether it is ``pending``."""
        held = self._entries.get(notification_id(channel, notice))
        return held is not None and held.status == "pending"

    def opened(self, channel: str, notice: Notice) -> Notification | None:
        """The delivered message that ``notice`` continues, if there is one."""
        if notice.opening is None:
            return None
        held = self._entries.get(notification_id(channel, notice, notice.opening))
        return held if held is not None and held.status == "delivered" else None
