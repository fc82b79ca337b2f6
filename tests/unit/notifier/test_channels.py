"""Slack and webhooks against a real HTTP server."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest
from notifier_scene import Answer, FakeServer, Received, alert, slack_api

from services.notifier.adapters.addresses import checked_address, public
from services.notifier.adapters.slack import SlackApiChannel, SlackWebhookChannel
from services.notifier.adapters.webhook import WebhookChannel, signature
from services.notifier.delivery import BusyError
from services.notifier.notices import Notice, of_alert
from shared.clock import FixedClock
from shared.errors import PermanentError, TransientError

LOCAL = ("127.0.0.1",)
SECRET = "s3cret"  # noqa: S105 - a secret of tests


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as running:
        yield running


@pytest.fixture
def slack(server: FakeServer) -> SlackWebhookChannel:
    return SlackWebhookChannel(f"{server.url}/hook", least="inform", allowed=LOCAL, timeout=2)


@pytest.fixture
async def webhook(server: FakeServer) -> AsyncIterator[WebhookChannel]:
    clock = FixedClock(datetime(2024, 3, 1, tzinfo=UTC))
    channel = WebhookChannel(f"{server.url}/in", secret=SECRET, least="inform", allowed=LOCAL, timeout=2, clock=clock)
    async with channel:
        yield channel


def _notice(state: str = "firing") -> Notice:
    notice = of_alert(alert(state))
    assert notice is not None
    return notice


async def test_slack_gets_blocks_with_a_text_fallback(server: FakeServer, slack: SlackWebhookChannel) -> None:
    await slack.send(_notice(), None)
    body = server.received[0].json
    assert body["text"].startswith("[INFORM] trip-late v1: drift")
    assert body["blocks"][0]["type"] == "header"


async def test_slacks_429_says_how_long_to_wait(server: FakeServer, slack: SlackWebhookChannel) -> None:
    server.answer_next(Answer(429, "", {"Retry-After": "12"}))
    with pytest.raises(BusyError) as raised:
        await slack.send(_notice(), None)
    assert raised.value.seconds == 12


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(404, "no_service"), PermanentError),
        (Answer(403, "invalid_token"), PermanentError),
        (Answer(503, "later"), TransientError),
    ],
)
async def test_slacks_refusals_are_permanent_and_its_failures_pass(
    server: FakeServer, slack: SlackWebhookChannel, answer: Answer, error: type[Exception]
) -> None:
    server.answer_next(answer)
    with pytest.raises(error):
        await slack.send(_notice(), None)


async def test_an_unreachable_slack_may_come_back() -> None:
    gone = SlackWebhookChannel("http://127.0.0.1:9/hook", least="inform", allowed=LOCAL, timeout=1)
    with pytest.raises(TransientError):
        await gone.send(_notice(), None)


async def test_the_web_api_keeps_one_thread_an_alert_and_updates_its_message() -> None:
    with FakeServer(default=slack_api) as server:
        channel = SlackApiChannel(
            "xoxb-1", "#ops", api_url=f"{server.url}/api/", least="inform", allowed=LOCAL, timeout=2
        )
        opened = await channel.send(_notice(), None)
        await channel.send(_notice("resolved"), opened)
        first, reply, update = server.received
    assert (first.path, reply.path, update.path) == (
        "/api/chat.postMessage",
        "/api/chat.postMessage",
        "/api/chat.update",
    )
    thread = opened.partition("/")[2]
    assert reply.form["thread_ts"] == thread
    assert update.form["ts"] == thread
    assert "RESOLVED" in update.form["text"]


UNAVAILABLE = Answer(503, '{"ok": false, "error": "service_unavailable"}', {"content-type": "application/json"})
GONE = Answer(200, '{"ok": false, "error": "message_not_found"}', {"content-type": "application/json"})


def _resolution(server: FakeServer) -> tuple[SlackApiChannel, str]:
    """A channel whose next notice continues the thread ``C1/170``."""
    channel = SlackApiChannel("xoxb-1", "#ops", api_url=f"{server.url}/api/", least="inform", allowed=LOCAL, timeout=2)
    return channel, "C1/170"


def _paths(server: FakeServer) -> list[str]:
    return [got.path.rpartition(".")[2] for got in server.received]


async def test_a_reply_is_posted_once_though_the_update_after_it_fails_and_is_tried_again() -> None:
    with FakeServer(default=slack_api) as server:
        channel, opened = _resolution(server)
        server.answer_next(slack_api(Received("", {}, b"x")), UNAVAILABLE)
        with pytest.raises(TransientError):
            await channel.send(_notice("resolved"), opened)
        reference = await channel.send(_notice("resolved"), opened)
        assert _paths(server) == ["postMessage", "update", "update"]
        assert reference == "C1/171.1"
        await channel.send(_notice("resolved"), opened)  # what was finished is forgotten
        assert _paths(server)[3:] == ["postMessage", "update"]


@pytest.mark.parametrize("failures", [(GONE,), (UNAVAILABLE, UNAVAILABLE)])
async def test_a_first_message_that_cannot_be_updated_does_not_keep_the_reply_from_being_delivered(
    failures: tuple[Answer, ...],
) -> None:
    with FakeServer(default=slack_api) as server:
        channel, opened = _resolution(server)
        server.answer_next(slack_api(Received("", {}, b"x")), *failures)
        for _ in failures[1:]:
            with pytest.raises(TransientError):
                await channel.send(_notice("resolved"), opened)
        assert await channel.send(_notice("resolved"), opened) == "C1/171.1"
        assert _paths(server).count("postMessage") == 1


@pytest.mark.parametrize(
    ("code", "error"),
    [("channel_not_found", PermanentError), ("internal_error", TransientError), ("ratelimited", BusyError)],
)
async def test_an_answer_of_ok_false_is_judged_by_its_code(code: str, error: type[Exception]) -> None:
    answer = Answer(body=f'{{"ok": false, "error": "{code}"}}', headers={"content-type": "application/json"})
    with FakeServer(answer) as server:
        channel = SlackApiChannel(
            "xoxb-1", "#ops", api_url=f"{server.url}/api/", least="inform", allowed=LOCAL, timeout=2
        )
        with pytest.raises(error):
            await channel.send(_notice(), None)


async def test_a_webhook_is_signed_over_timestamp_and_body(server: FakeServer, webhook: WebhookChannel) -> None:
    await webhook.send(_notice(), None)
    [got] = server.received
    assert got.headers["x-headrace-signature"] == signature(SECRET, got.headers["x-headrace-timestamp"], got.body)
    assert got.json["data"]["fingerprint"] == "fp1"
    assert got.headers["host"] == server.url.removeprefix("http://")


@pytest.mark.parametrize("address", ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0", "224.0.0.1", "fd00::1"])
def test_mapped_link_local_and_multicast_addresses_are_not_public(address: str) -> None:
    assert not public(address)


async def test_a_host_allowed_by_name_may_be_private() -> None:
    assert await checked_address("localhost", 80, ("localhost",)) in ("127.0.0.1", "::1")
