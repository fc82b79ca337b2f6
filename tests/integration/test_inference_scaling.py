"""Two, then three inference processes join and leave under load: nothing lost, nothing twice, order per key kept."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import inference_models as made
import pytest
from group_members import send_away
from inference_process import InferenceProcess, predictions_of

from shared.publishing import Publisher
from shared.settings import PlatformSettings, TopicSettings
from shared.topic_admin import apply_topics

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

TOTAL = 6000
ENTITIES = 61


@pytest.fixture
def settings(settings: PlatformSettings, service_env: dict[str, str]) -> PlatformSettings:
    """Six partitions: enough for three processes."""
    service_env["HEADRACE_TOPICS__PARTITIONS"] = "6"
    service_env["HEADRACE_KAFKA__SESSION_TIMEOUT"] = "6"
    return settings.model_copy(update={"topics": TopicSettings(prefix=settings.topics.prefix, partitions=6)})


@pytest.fixture
async def publisher(settings: PlatformSettings) -> AsyncIterator[Publisher]:
    await apply_topics(settings)
    model = made.binary(0.25)
    candidate = made.candidate(model)
    async with Publisher(settings) as opened:
        await opened.publish(
            made.definition_message(),
            *made.candidate_messages(model, candidate),
            made.deployment_message(made.deployment((1, candidate.digest))),
        )
        yield opened


async def test_processes_that_join_and_leave_under_load_answer_every_event_once_in_order(
    settings: PlatformSettings, publisher: Publisher, service_env: dict[str, str], tmp_path: Path
) -> None:
    sent = 0

    async def feed() -> None:
        nonlocal sent
        while sent < TOTAL:
            part = range(sent, sent + 50)
            await publisher.publish(*(made.event_message(n, entity=f"parcel-{n % ENTITIES}") for n in part))
            sent += 50
            await asyncio.sleep(0.02)

    def process(number: int) -> InferenceProcess:
        env = {**service_env, "HEADRACE_INSTANCE": f"instance-{number}"}
        return InferenceProcess(env, tmp_path / "inference", tmp_path / f"inference-{number}.log")

    with ExitStack() as running:
        first = running.enter_context(process(1))
        await first.ready()
        feeding = asyncio.create_task(feed())
        await predictions_of(settings, 300)
        second = running.enter_context(process(2))
        await second.ready()
        third = running.enter_context(process(3))
        await third.ready()
        assert await asyncio.to_thread(second.stop) == 0
        await predictions_of(settings, sent // 2)
        first.kill()
        await send_away(settings, "inference.scoring")  # the others join again at once
        await feeding
        found = await predictions_of(settings, TOTAL)
        assert await asyncio.to_thread(third.stop) == 0

    assert Counter(p.event_id for _, p in found) == Counter(f"e{n}" for n in range(TOTAL))
    assert len({p.prediction_id for _, p in found}) == TOTAL
    order: dict[str, list[int]] = {}
    for _, prediction in found:
        order.setdefault(prediction.entity_id, []).append(int(prediction.event_id[1:]))
    assert len(order) == ENTITIES
    assert all(numbers == sorted(numbers) for numbers in order.values())
