"""At-least-once delivery of real services that die by kill -9 when outputs stand and offsets do not."""

import asyncio
from collections import Counter
from pathlib import Path

import inference_models as made
import pytest
from edge_process import outcomes, prepare
from group_members import send_away
from inference_process import predictions_of, starts_of
from monitoring_scene import closed_windows, last_revisions, monitored_world, stretch, two_partitions
from service_process import ServiceProcess
from validation_scene import FEATURES, event_body

from schemas.envelope import Envelope, encode_headers, header
from schemas.identities import prediction_id
from schemas.topics import EVENTS_RAW
from shared.publishing import Publisher
from shared.records import Outgoing
from shared.settings import PlatformSettings
from shared.topic_admin import apply_topics

HOURS = 7
pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


@pytest.fixture
def env(service_env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return {
        **service_env,
        "HEADRACE_VALIDATION__DELIVERY": "at_least_once",
        "HEADRACE_INFERENCE__DELIVERY": "at_least_once",
        "HEADRACE_MONITORING__DELIVERY": "at_least_once",
        "HEADRACE_INFERENCE__DATA_DIR": str(tmp_path / "inference"),
        "HEADRACE_KAFKA__SESSION_TIMEOUT": "6",
    }


def raw(number: int, **changes: object) -> Outgoing:
    entity = f"e{number % 20}"
    headers = encode_headers(Envelope(id=f"id-{number}", source="tests", type="headrace.event.v1"))
    body = event_body(entity, **{"features": {**FEATURES, "hour": number % 24}, **changes})
    return Outgoing(EVENTS_RAW, entity.encode(), body, headers)


async def test_validation_publishes_after_the_crash_only_what_was_missing(
    settings: PlatformSettings, env: dict[str, str], tmp_path: Path
) -> None:
    publisher = Publisher(settings)
    await prepare(settings, publisher)
    good = [raw(n) if n % 10 else raw(n, feature_set="nobody") for n in range(300)]
    again = [raw(n) for n in range(300) if n % 10 == 1]
    dead = [Outgoing(EVENTS_RAW, b"somebody-else", event_body("e1"), raw(n).headers) for n in (900, 901)]
    try:
        await publisher.publish(*good[:100], *again[:10], *dead[:1])
        with ServiceProcess("validation", env, tmp_path / "log", dies_at=1) as process:
            assert await process.died() == -9
            await send_away(settings, "validation.judge")
        await publisher.publish(*good[100:])
        with ServiceProcess("validation", env, tmp_path / "log", dies_at=2) as process:
            assert await process.died() == -9
            await send_away(settings, "validation.judge")
        await publisher.publish(*again[10:], *dead[1:])
        with ServiceProcess("validation", env, tmp_path / "log") as process:
            found = await outcomes(settings, 300 + 30 + 2)
            assert process.stop() == 0
    finally:
        await publisher.stop()
    assert Counter(header(r.headers, "ce_id") for r in found["validated"]) == Counter(
        f"id-{n}" for n in range(300) if n % 10
    )
    counts = {name: len(records) for name, records in found.items() if records and name != "validated"}
    assert counts == {"rejected": 30, "duplicates": 30, "dead letters": 2}


async def test_inference_loses_nothing_and_repeats_with_the_same_prediction_id(
    settings: PlatformSettings, env: dict[str, str], tmp_path: Path
) -> None:
    await apply_topics(settings)
    model = made.binary(0.25)
    candidate = made.candidate(model)
    async with Publisher(settings) as publisher:
        await publisher.publish(
            made.definition_message(),
            *made.candidate_messages(model, candidate),
            made.deployment_message(made.deployment((1, candidate.digest))),
            *(made.event_message(n) for n in range(500)),
        )
        with ServiceProcess("inference", env, tmp_path / "log", dies_at=1) as process:
            assert await process.died() == -9
            await send_away(settings, "inference.scoring")
        with ServiceProcess("inference", env, tmp_path / "log") as process:
            await publisher.publish(*(made.event_message(n) for n in range(500, 600)))
            expected = {prediction_id("shop", f"e{n}", "late", "serving") for n in range(600)}
            async with asyncio.timeout(60):
                found = await predictions_of(settings, 600)
                while {p.prediction_id for _, p in found} != expected:
                    found = await predictions_of(settings, 600)
            assert process.stop() == 0
    counts = Counter(p.prediction_id for _, p in found)
    assert max(counts.values()) == 2, "no crash came between outputs and offsets, or one repeated more than a batch"
    first: dict[tuple[int, str], int] = {}
    for place, (record, prediction) in enumerate(found):
        first.setdefault((record.partition, prediction.event_id), place)
    for partition in (0, 1):
        numbers = [
            int(event[1:]) for (where, event), _ in sorted(first.items(), key=lambda x: x[1]) if where == partition
        ]
        assert numbers == sorted(numbers)
    assert sorted((s.model, s.partition) for s in await starts_of(settings))[:1] == [("late", 0)]


async def test_monitorings_windows_are_equal_whatever_was_repeated(
    settings: PlatformSettings, env: dict[str, str], tmp_path: Path
) -> None:
    parts = two_partitions(HOURS)
    await apply_topics(settings)
    other = settings.model_copy(
        update={"topics": settings.topics.model_copy(update={"prefix": "y" + settings.topics.prefix})}
    )
    await apply_topics(other)
    calm_env = {
        **env,
        "HEADRACE_MONITORING__DELIVERY": "exactly_once",
        "HEADRACE_MONITORING__DATA_DIR": str(tmp_path / "a"),
    }
    rough_env = {
        **env,
        "HEADRACE_TOPICS__PREFIX": other.topics.prefix,
        "HEADRACE_MONITORING__DATA_DIR": str(tmp_path / "b"),
    }
    async with Publisher(settings) as calm, Publisher(other) as rough:
        await calm.publish(*monitored_world(), *stretch(parts, 0, 1))
        with ServiceProcess("monitoring", calm_env, tmp_path / "calm.log") as process:
            expected = await closed_windows(settings, HOURS)
            assert process.stop() == 0
        await rough.publish(*monitored_world())
        for first, last in ((0, 0.4), (0.4, 0.7)):
            await rough.publish(*stretch(parts, first, last))
            with ServiceProcess("monitoring", rough_env, tmp_path / "rough.log", dies_at=2) as process:
                assert await process.died() == -9
                await send_away(other, "monitoring.profiles", "monitoring.verdicts")
        await rough.publish(*stretch(parts, 0.7, 1))
        with ServiceProcess("monitoring", rough_env, tmp_path / "rough.log") as process:
            found = await closed_windows(other, HOURS)
            assert process.stop() == 0
    assert last_revisions(found) == last_revisions(expected)
    assert len(last_revisions(found)) > 5
