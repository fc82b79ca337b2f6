"""The notifier's ledger: what was sent where."""

from typing import ClassVar, Literal

from schemas.events.contract import Contract, Time


class Notification(Contract):
    """``pending`` is written before a message is sent, ``delivered`` or ``failed`` after."""

    ce_type: ClassVar[str] = "headrace.notification.v1"

    notification_id: str
    channel: str
    subject: str  # alert fingerprint or model
    episode: str
    state: str  # the alert's state, or the registry fact's type
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    reference: str | None = None  # the channel's own id of the message, e.g. Slack's ts
    error: str | None = None
    at: Time
