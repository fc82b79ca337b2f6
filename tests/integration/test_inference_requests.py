"""Request and reply on a real Kafka: answers, refusals, deadlines, and a service that comes later than the request."""

import asyncio
from pathlib import Path
from typing import Any

import inference_models as made
import pytest
from inference_process import InferenceProcess, records_of

from schemas.topics import INFERENCE_RESPONSES
from shared.errors import RefusedError, UnansweredError
from shared.inference_client import InferenceClient
from shared.publishing import Publisher
from shared.settings import PlatformSettings
from shared.topic_admin import apply_topics

pytestmark = pytest.mark.kafka

V1 = made.binary(0.25)
ONE = made.candidate(V1)


async def test_requests_are_answered_refused_or_told_that_they_came_too_late(
    settings: PlatformSettings, service_env: dict[str, str], tmp_path: Path
) -> None:
    await apply_topics(settings)
    async with Publisher(settings) as publisher:
        await publisher.publish(
            made.definition_message(),
            *made.candidate_messages(V1, ONE),
            made.deployment_message(made.deployment((1, ONE.digest))),
        )
    row: dict[str, Any] = made.features()
    async with InferenceClient(settings, source="tests") as client:
        with pytest.raises(UnansweredError, match="is inference running"):
            await client.infer("late", [row], key="parcel-0", seconds=0.1)
        with InferenceProcess(service_env, tmp_path / "inference", tmp_path / "inference.log") as process:
            await process.ready()
            answers = await asyncio.gather(
                *(client.infer("late", [row] * 2, key=f"parcel-{n}", seconds=20, outputs=["score"]) for n in range(50))
            )
            assert {answer.outputs[0].data for answer in answers} == {(0.25, 0.25)}
            with pytest.raises(RefusedError, match="no model 'early' is served"):
                await client.infer("early", [row], key="parcel-0", seconds=20)
            with pytest.raises(RefusedError, match=r"features\.hour: null"):
                await client.infer("late", [{**row, "hour": None}], key="parcel-0", seconds=20)
    statuses = [dict(record.headers)["ce_status"] for record in await records_of(settings, INFERENCE_RESPONSES, 53)]
    assert sorted(map(bytes.decode, statuses)) == ["expired", *["ok"] * 50, *["refused"] * 2]
