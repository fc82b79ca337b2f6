"""Composition root of the notifier: which channels there are, and what they hear."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from services.notifier.adapters.alerts_ahead import AlertsAhead
from services.notifier.adapters.slack import SlackApiChannel, SlackWebhookChannel
from services.notifier.adapters.starting_point import StartingPoint
from services.notifier.adapters.webhook import WebhookChannel
from services.notifier.delivery import Channel, Delivery, Patience
from services.notifier.gathering import Gathering
from services.notifier.ledger import Ledger
from services.notifier.notices import Notice
from services.notifier.settings import Settings
from services.notifier.subscribers import (
    SERVICE,
    TOPICS,
    Approvals,
    ledger_writer,
    notice_among_many,
    subscribe,
    tables,
)
from shared.broker import MAX_POLL_SECONDS, kafka_broker
from shared.clock import Clock, SystemClock
from shared.health import Health
from shared.heartbeats import Heartbeats
from shared.logs import get_logger
from shared.publishing import Publisher
from shared.records import Record
from shared.service import App

LONGEST_NOTICE: Final = (
    MAX_POLL_SECONDS - 60
)  # all channels together, and a storm's wait: beyond the poll's limit the group takes the record away

log = get_logger(__name__)


def build(settings: Settings) -> App:
    """Without a configured channel it consumes and stays silent."""
    clock = SystemClock()
    health, ledger, approvals, publisher = Health(clock), Ledger(), Approvals(), Publisher(settings)
    channels = _channels(settings, clock)
    if not channels:
        log.warning(
            "no channel is configured: alerts are read and nobody is told; set HEADRACE_NOTIFIER__SLACK__WEBHOOK_URL"
        )
    window = settings.notifier.storm.window
    longest = LONGEST_NOTICE - window.total_seconds()
    patience = Patience(min(settings.notifier.give_up_after_seconds, longest / max(1, len(channels))))
    delivery = Delivery(channels, ledger, ledger_writer(publisher), clock, patience)

    def heard(record: Record) -> Notice | None:
        notice = notice_among_many(record)
        return notice if notice is not None and delivery.heard(notice) else None

    ahead = AlertsAhead(settings, heard)
    gathering = Gathering(ahead, delivery, threshold=settings.notifier.storm.threshold, window=window, clock=clock)
    broker = kafka_broker(settings, service=SERVICE)
    subscribe(
        broker,
        settings,
        delivery=delivery,
        gathering=gathering,
        approvals=approvals,
        publisher=publisher,
        health=health,
        clock=clock,
    )
    heartbeats = Heartbeats(settings, service=SERVICE, publisher=publisher, health=health, clock=clock)
    starting_point = StartingPoint(
        settings,
        *TOPICS,
        group=SERVICE,
        ignore_older_than=settings.notifier.ignore_older_than,
        last_told=lambda: ledger.last_written,
        publisher=publisher,
        clock=clock,
    )
    opened: list[AbstractAsyncContextManager[Any]] = [c for c in channels if isinstance(c, AbstractAsyncContextManager)]
    components: list[AbstractAsyncContextManager[Any]] = [
        *tables(settings, ledger, approvals, health),
        publisher,
        *opened,
        ahead,
        heartbeats,
        starting_point,
    ]
    return App(health=health, broker=broker, components=components)


def _channels(settings: Settings, clock: Clock) -> Sequence[Channel]:
    own = settings.notifier
    slack, hook = own.slack, own.webhook
    found: list[Channel] = []
    if slack.webhook_url is not None:
        found.append(
            SlackWebhookChannel(
                slack.webhook_url.get_secret_value(),
                least=slack.min_severity,
                allowed=own.allowed_hosts,
                timeout=own.timeout_seconds,
            )
        )
    if slack.token is not None and slack.channel is not None:
        found.append(
            SlackApiChannel(
                slack.token.get_secret_value(),
                slack.channel,
                api_url=slack.api_url.get_secret_value(),
                least=slack.min_severity,
                allowed=own.allowed_hosts,
                timeout=own.timeout_seconds,
            )
        )
    if hook.url is not None:
        found.append(
            WebhookChannel(
                hook.url.get_secret_value(),
                secret=hook.secret.get_secret_value() if hook.secret else None,
                least=hook.min_severity,
                allowed=own.allowed_hosts,
                timeout=own.timeout_seconds,
                clock=clock,
            )
        )
    return found
