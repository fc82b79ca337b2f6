"""The notifier on a real Kafka against an HTTP server that plays Slack: told once, retried, failed, never lost."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from group_members import send_away
from notifier_scene import Answer, FakeServer, Received, alert, event
from service_process import ServiceProcess, eventually

from schemas.events.contract import decode
from schemas.events.notifier import Notification
from schemas.topics import ALERTS, NOTIFICATIONS, REGISTRY_EVENTS, dead_letters
from shared.dead_letters import replay
from shared.publishing import Publisher
from shared.records import Outgoing, message
from shared.settings import PlatformSettings
from shared.tables import read_to_end
from shared.topic_admin import apply_topics

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(420)]


def _alert(state: str, episode: str) -> Outgoing:
    return message(ALERTS, alert(state, episode=episode), key="fp1", source="tests")


async def _ledger(settings: PlatformSettings) -> list[Notification]:
    return [decode(Notification, record.value or b"") for record in await read_to_end(settings, NOTIFICATIONS)]


def _statuses(entries: list[Notification], episode: str) -> list[tuple[str, str]]:
    return [(entry.state, entry.status) for entry in entries if entry.episode == episode]


async def test_each_state_is_told_once_through_429_refusals_and_kill_9(
    settings: PlatformSettings, service_env: dict[str, str], tmp_path: Path
) -> None:
    await apply_topics(settings)
    log = tmp_path / "notifier.log"
    with FakeServer(Answer(429, "", {"Retry-After": "1"})) as slack:
        env = {
            **service_env,
            "HEADRACE_KAFKA__SESSION_TIMEOUT": "6",
            "HEADRACE_NOTIFIER__SLACK__WEBHOOK_URL": f"{slack.url}/hook",
            "HEADRACE_NOTIFIER__ALLOWED_HOSTS": '["127.0.0.1"]',
        }
        async with Publisher(settings) as publisher:
            await publisher.publish(_alert("pending", "e1"), _alert("firing", "e1"), _alert("firing", "e1"))
            with ServiceProcess("notifier", env, log) as process:
                await eventually(
                    lambda: _ledger(settings), lambda found: ("firing", "delivered") in _statuses(found, "e1"), "told"
                )
                process.kill()
            assert len(slack.received) == 2  # the 429, and the message
            registry = message(REGISTRY_EVENTS, event(), key="trip-late", source="tests")
            slack.answer_next(Answer(404, "no_service"))
            await publisher.publish(_alert("firing", "e2"))
            with ServiceProcess("notifier", env, log) as process:
                await eventually(
                    lambda: _ledger(settings), lambda found: ("firing", "failed") in _statuses(found, "e2"), "failed"
                )
                await publisher.publish(_alert("resolved", "e1"), _alert("resolved", "e2"), registry)
                entries = await eventually(
                    lambda: _ledger(settings),
                    lambda found: (
                        ("champion-promoted", "delivered") in _statuses(found, "1")
                        and ("resolved", "delivered") in _statuses(found, "e1")
                    ),
                    "the rest is told",
                )
                assert process.stop() == 0
    assert _statuses(entries, "e1") == [
        ("firing", "pending"),
        ("firing", "delivered"),
        ("resolved", "pending"),
        ("resolved", "delivered"),
    ]
    assert _statuses(entries, "e2") == [("firing", "pending"), ("firing", "failed")]
    texts = [got.json["text"] for got in slack.received]
    assert sum("RESOLVED" in text for text in texts) == 1
    assert sum("is champion" in text for text in texts) == 1
    assert len(await read_to_end(settings, dead_letters("notifier"))) == 1


async def test_a_kill_9_between_sending_and_the_ledger_repeats_one_message_and_a_replay_tells_what_had_failed(
    settings: PlatformSettings, service_env: dict[str, str], tmp_path: Path
) -> None:
    await apply_topics(settings)
    victims: list[int] = []

    def answer(received: Received) -> Answer:
        if victims and "e2" in received.body.decode():
            os.kill(victims.pop(), signal.SIGKILL)  # it was sent, and nobody will write that down
        return Answer()

    with FakeServer(default=answer) as hook:
        env = {
            **service_env,
            "HEADRACE_NOTIFIER__WEBHOOK__URL": f"{hook.url}/hook",
            "HEADRACE_NOTIFIER__ALLOWED_HOSTS": '["127.0.0.1"]',
        }
        async with Publisher(settings) as publisher:
            await publisher.publish(*(_alert("firing", episode) for episode in ("e1", "e2", "e3")))
            with ServiceProcess("notifier", env, tmp_path / "log") as process:
                victims.append(process.pid)
                assert await process.died() == -9
                await send_away(settings, "notifier")
            assert _statuses(await _ledger(settings), "e2") == [("firing", "pending")]
            with ServiceProcess("notifier", env, tmp_path / "log") as process:
                await eventually(
                    lambda: _ledger(settings), lambda found: ("firing", "delivered") in _statuses(found, "e3"), "told"
                )
                hook.answer_next(Answer(404, "gone"))
                await publisher.publish(_alert("firing", "e4"))
                [letter] = await eventually(
                    lambda: read_to_end(settings, dead_letters("notifier")), lambda found: len(found) == 1, "a letter"
                )
                await publisher.publish(replay(letter))
                entries = await eventually(
                    lambda: _ledger(settings), lambda found: ("firing", "delivered") in _statuses(found, "e4"), "told"
                )
                assert process.stop() == 0
    told = Counter(received.json["data"]["episode"] for received in hook.received)
    assert told == {"e1": 1, "e2": 2, "e3": 1, "e4": 2}  # e2: one more for one crash; e4: the refusal, and the replay
    assert [entry.attempts for entry in entries if entry.episode == "e2"] == [1, 2, 2]


async def test_a_first_start_leaves_history_out_and_after_that_nothing_is_too_old_to_be_told(
    settings: PlatformSettings, service_env: dict[str, str], tmp_path: Path
) -> None:
    await apply_topics(settings)
    with FakeServer() as slack:
        env = {
            **service_env,
            "HEADRACE_NOTIFIER__SLACK__WEBHOOK_URL": f"{slack.url}/hook",
            "HEADRACE_NOTIFIER__ALLOWED_HOSTS": '["127.0.0.1"]',
            "HEADRACE_NOTIFIER__IGNORE_OLDER_THAN": "PT0S",
            "HEADRACE_NOTIFIER__LATE_AFTER": "PT0S",  # whatever is told was late then
        }
        async with Publisher(settings) as publisher:
            await publisher.publish(_alert("firing", "history"))
            with ServiceProcess("notifier", env, tmp_path / "first.log") as process:
                await process.ready()
                await publisher.publish(_alert("firing", "e0"))
                await eventually(
                    lambda: _ledger(settings), lambda found: ("firing", "delivered") in _statuses(found, "e0"), "told"
                )
                assert process.stop() == 0
            registry = message(REGISTRY_EVENTS, event(), key="trip-late", source="tests")
            await publisher.publish(*(_alert("firing", f"e{number}") for number in range(1, 41)), registry)
            with ServiceProcess("notifier", env, tmp_path / "second.log") as process:
                entries = await eventually(
                    lambda: _ledger(settings),
                    lambda found: (
                        ("firing", "delivered") in _statuses(found, "e40")
                        and ("champion-promoted", "delivered") in _statuses(found, "1")
                    ),
                    "all is told",
                )
                assert process.stop() == 0
    assert not _statuses(entries, "history")
    assert "is history and nobody is told" in (tmp_path / "first.log").read_text()
    assert all(_statuses(entries, f"e{number}")[-1] == ("firing", "delivered") for number in range(41))
    texts = [got.json["text"] for got in slack.received]
    assert len(texts) == 3
    assert any(text.startswith("[LATE] 40 messages could not be told in time") for text in texts)
    assert any("is champion" in text for text in texts)  # though nothing had stood on its topic before


def _storm(state: str, count: int) -> list[Outgoing]:
    return [
        message(
            ALERTS,
            alert(
                state, episode=f"e{number}", fingerprint=f"fp{number}", severity="page" if number == 77 else "inform"
            ),
            key=f"fp{number}",
            source="tests",
        )
        for number in range(count)
    ]


def _told_of(entries: list[Notification], state: str) -> int:
    return len({entry.subject for entry in entries if (entry.state, entry.status) == (state, "delivered")})


async def test_a_storm_of_ten_thousand_alerts_is_one_message_and_what_comes_after_it_is_told_soon(
    settings: PlatformSettings, service_env: dict[str, str], tmp_path: Path
) -> None:
    await apply_topics(settings)
    with FakeServer() as slack:
        env = {
            **service_env,
            "HEADRACE_NOTIFIER__SLACK__WEBHOOK_URL": f"{slack.url}/hook",
            "HEADRACE_NOTIFIER__ALLOWED_HOSTS": '["127.0.0.1"]',
            "HEADRACE_NOTIFIER__STORM__WINDOW": "PT5S",  # so long the last alert may have to wait, alone
        }
        async with Publisher(settings) as publisher:
            await publisher.publish(*_storm("firing", 10_000))
            with ServiceProcess("notifier", env, tmp_path / "log") as process:
                await eventually(
                    lambda: _ledger(settings), lambda found: _told_of(found, "firing") == 10_000, "all is told"
                )
                assert len(slack.received) == 1
                await publisher.publish(*_storm("resolved", 10_000))
                await eventually(
                    lambda: _ledger(settings), lambda found: _told_of(found, "resolved") == 10_000, "all ends are told"
                )
                await publisher.publish(_alert("firing", "after"))
                entries = await eventually(
                    lambda: _ledger(settings),
                    lambda found: ("firing", "delivered") in _statuses(found, "after"),
                    "told",
                )
                assert process.stop() == 0
    first, *ends, last = [got.json["text"] for got in slack.received]
    assert first.startswith("[STORM] 10,000 alerts at once: 1 page, 9999 inform. States: 10,000 firing.")
    assert "headrace alerts list" in first
    # what is published while it is told may come in two: the beginning that was there, and the rest a window later
    assert 1 <= len(ends) <= 3
    assert all("RESOLVED" in text for text in ends)
    assert last.startswith("[INFORM] trip-late")
    assert Counter(entry.status for entry in entries if entry.state == "firing") == {
        "pending": 10_001,
        "delivered": 10_001,
    }
    assert await read_to_end(settings, dead_letters("notifier")) == []


async def test_a_kill_9_after_the_storms_message_repeats_that_one_message(
    settings: PlatformSettings, service_env: dict[str, str], tmp_path: Path
) -> None:
    await apply_topics(settings)
    victims: list[int] = []

    def answer(received: Received) -> Answer:
        if victims and "[STORM]" in received.body.decode():
            os.kill(victims.pop(), signal.SIGKILL)  # it was sent, and nobody will write that down
        return Answer()

    with FakeServer(default=answer) as slack:
        env = {
            **service_env,
            "HEADRACE_NOTIFIER__SLACK__WEBHOOK_URL": f"{slack.url}/hook",
            "HEADRACE_NOTIFIER__ALLOWED_HOSTS": '["127.0.0.1"]',
        }
        async with Publisher(settings) as publisher:
            await publisher.publish(*_storm("firing", 2_000))
        with ServiceProcess("notifier", env, tmp_path / "log") as process:
            victims.append(process.pid)
            assert await process.died() == -9
            await send_away(settings, "notifier")
        with ServiceProcess("notifier", env, tmp_path / "log") as process:
            entries = await eventually(
                lambda: _ledger(settings), lambda found: _told_of(found, "firing") == 2_000, "all is told"
            )
            assert process.stop() == 0
    texts = [got.json["text"] for got in slack.received]
    assert len(texts) == 2
    assert all(text.startswith("[STORM] 2,000 alerts at once") for text in texts)
    assert Counter(entry.status for entry in entries) == {"pending": 2_000, "delivered": 2_000}


async def test_without_a_channel_it_is_ready_and_silent(
    settings: PlatformSettings, service_env: dict[str, str], tmp_path: Path
) -> None:
    await apply_topics(settings)
    async with Publisher(settings) as publisher:
        await publisher.publish(_alert("firing", "e1"))
    with ServiceProcess("notifier", service_env, tmp_path / "notifier.log") as process:
        await process.ready()
        assert process.stop() == 0
    assert await _ledger(settings) == []
