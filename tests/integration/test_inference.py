"""Inference on a real Kafka: one prediction per event through swaps, kills and damaged models."""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import inference_models as made
import pytest
from inference_process import InferenceProcess, predictions_of, records_of, starts_of, statuses_of, until

from schemas.definitions import TargetType
from schemas.events.ingestion import Tick
from schemas.identities import canary_position, prediction_id
from schemas.topics import EVENTS_VALIDATED, PREDICTIONS, dead_letters
from shared.publishing import Publisher
from shared.records import Outgoing
from shared.settings import PlatformSettings
from shared.topic_admin import apply_topics

pytestmark = pytest.mark.kafka

V1, V2 = made.binary(0.25), made.binary(0.75)
ONE, TWO = made.candidate(V1), made.candidate(V2)


@pytest.fixture
async def publisher(settings: PlatformSettings) -> AsyncIterator[Publisher]:
    await apply_topics(settings)
    async with Publisher(settings) as opened:
        yield opened


@pytest.fixture
def start(service_env: dict[str, str], tmp_path: Path) -> Callable[[], InferenceProcess]:
    return lambda: InferenceProcess(service_env, tmp_path / "inference", tmp_path / "inference.log")


async def deploy_first(publisher: Publisher) -> None:
    await publisher.publish(
        made.definition_message(),
        *made.candidate_messages(V1, ONE),
        *made.candidate_messages(V2, TWO),
        made.deployment_message(made.deployment((1, ONE.digest))),
    )


def events(numbers: Sequence[int]) -> list[Outgoing]:
    return [made.event_message(number) for number in numbers]


async def test_every_event_gets_one_prediction_with_its_key_in_its_partition(
    settings: PlatformSettings, publisher: Publisher, start: Callable[[], InferenceProcess]
) -> None:
    await deploy_first(publisher)
    nobody_serves = [made.event_message(number, feature_set="letters@1") for number in range(900, 905)]
    garbage = Outgoing(EVENTS_VALIDATED, b"parcel-x", b"{", made.event_message(0).headers)
    with start() as process:
        await publisher.publish(*nobody_serves, *events(range(100)), garbage, *(made.tick_message(p) for p in (0, 1)))
        await publisher.publish(*events(range(100, 300)))
        found = await predictions_of(settings, 300)
        asked = await records_of(settings, EVENTS_VALIDATED)
        where = {record.key: record.partition for record in asked}
        assert Counter(prediction.event_id for _, prediction in found) == Counter(f"e{n}" for n in range(300))
        assert all(record.partition == where[record.key] for record, _ in found)
        assert all(record.key == prediction.entity_id.encode() for record, prediction in found)
        assert {p.prediction_id for _, p in found} == {
            prediction_id("shop", f"e{n}", "late", "serving") for n in range(300)
        }
        assert {p.outputs["score"] for _, p in found if p.outputs} == {0.25}
        assert len(await records_of(settings, PREDICTIONS, 2, Tick.ce_type)) == 2
        assert len(await records_of(settings, dead_letters("inference"), 1)) == 1
        starts = await starts_of(settings)
        first = {
            p: min(r.offset for r in asked if r.partition == p and b"parcels@1" in (r.value or b"")) for p in (0, 1)
        }
        assert {(s.model, s.partition): s.offset for s in starts} == {("late", p): first[p] for p in (0, 1)}
        assert (
            'headrace_predictions_total{model="late",route="champion",status="ok",version="1"} 300.0'
            in process.metrics()
        )
        assert process.stop() == 0
    with start() as process:
        await publisher.publish(*events(range(300, 320)))
        found = await predictions_of(settings, 320)
        assert Counter(prediction.event_id for _, prediction in found) == Counter(f"e{n}" for n in range(320))
        assert await starts_of(settings) == starts


async def test_the_artifacts_on_disk_may_be_deleted_at_any_time_and_come_back_from_the_topics(
    settings: PlatformSettings, publisher: Publisher, start: Callable[[], InferenceProcess], tmp_path: Path
) -> None:
    directory = tmp_path / "inference" / "artifacts"

    def on_disk() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in directory.glob("*.onnx")}

    await deploy_first(publisher)
    with start() as process:
        await process.ready()
        await publisher.publish(*events(range(50)))
        await predictions_of(settings, 50)
        before = on_disk()
        shutil.rmtree(directory)
        await publisher.publish(made.deployment_message(made.deployment((2, TWO.digest), revision=2)))
        await statuses_of(settings, lambda status: status.version == 2 and status.state == "loaded")
        assert process.stop() == 0
    shutil.rmtree(directory)
    with start() as process:
        await process.ready()
        await publisher.publish(*events(range(50, 100)))
        found = await predictions_of(settings, 100)
        assert on_disk() == before
        assert process.stop() == 0
    assert before == {f"{ONE.digest}.onnx": V1, f"{TWO.digest}.onnx": V2}
    assert Counter(prediction.event_id for _, prediction in found) == Counter(f"e{n}" for n in range(100))
    assert {p.version for _, p in found if int(p.event_id[1:]) >= 50} == {2}


async def test_a_swap_under_load_drops_nothing_and_versions_never_go_back(
    settings: PlatformSettings, publisher: Publisher, start: Callable[[], InferenceProcess]
) -> None:
    await deploy_first(publisher)
    with start() as process:
        await process.ready()
        for number in range(0, 2000, 100):
            await publisher.publish(*events(range(number, number + 100)))
            if number == 500:  # the first events come for certain before the swap
                await predictions_of(settings, 100)
                await publisher.publish(made.deployment_message(made.deployment((2, TWO.digest), revision=2)))
            if number == 1500:  # the last events come for certain after the swap
                await statuses_of(settings, lambda status: status.version == 2 and status.state == "loaded")
        found = await predictions_of(settings, 2000)
    assert Counter(prediction.event_id for _, prediction in found) == Counter(f"e{n}" for n in range(2000))
    assert all(p.outputs and p.outputs["score"] == {1: 0.25, 2: 0.75}[p.version] for _, p in found)
    for partition in (0, 1):
        versions = [prediction.version for record, prediction in found if record.partition == partition]
        assert versions == sorted(versions)
        assert set(versions) == {1, 2}


async def test_a_canary_takes_its_share_of_entities_and_a_failing_shadow_harms_nobody(
    settings: PlatformSettings, publisher: Publisher, start: Callable[[], InferenceProcess]
) -> None:
    await deploy_first(publisher)
    golden = [made.features()]
    shadow = made.candidate(made.picky(), target=TargetType.REGRESSION, inputs=[made.CATEGORICAL], golden=golden)
    canary = made.deployment((1, ONE.digest), canary=(2, TWO.digest, 0.3), shadows=[(3, shadow.digest)], revision=2)
    await publisher.publish(*made.candidate_messages(made.picky(), shadow), made.deployment_message(canary))
    with start():
        poisoned = [
            made.event_message(n, entity=f"p{n % 50}", zone="poison" if n % 7 == 0 else "a") for n in range(400)
        ]
        await publisher.publish(*poisoned)
        found = [prediction for _, prediction in await predictions_of(settings, 800)]
    serving = [p for p in found if p.route != "shadow"]
    shadows = [p for p in found if p.route == "shadow"]
    assert Counter(p.event_id for p in serving) == Counter(f"e{n}" for n in range(400))
    assert Counter(p.event_id for p in shadows) == Counter(f"e{n}" for n in range(400))
    for p in serving:
        assert p.version == (2 if canary_position("late", p.entity_id) < 0.3 else 1)
        assert p.route == {1: "champion", 2: "canary"}[p.version]
        assert p.status == "ok"
    assert {p.event_id for p in shadows if p.status == "failed"} == {f"e{n}" for n in range(0, 400, 7)}


async def test_kill_9_in_mid_stream_loses_and_repeats_nothing(
    settings: PlatformSettings, publisher: Publisher, start: Callable[[], InferenceProcess]
) -> None:
    await deploy_first(publisher)
    total = 12_000

    async def produce() -> None:
        for number in range(0, total, 200):
            await publisher.publish(*events(range(number, number + 200)))

    with start() as process:
        await process.ready()
        producing = asyncio.create_task(produce())
        await predictions_of(settings, 1500)
        process.kill()
    with start():
        await predictions_of(settings, 5000)
    with start():
        await producing
        found = await predictions_of(settings, total)
        starts = await starts_of(settings)
    assert Counter(prediction.event_id for _, prediction in found) == Counter(f"e{n}" for n in range(total))
    assert sorted((s.model, s.partition) for s in starts) == [("late", 0), ("late", 1)]


async def test_a_damaged_model_is_refused_and_the_old_one_keeps_serving(
    settings: PlatformSettings, publisher: Publisher, start: Callable[[], InferenceProcess]
) -> None:
    bad = made.binary(0.5)
    wrong = made.candidate(bad)
    await deploy_first(publisher)
    with start() as process:
        await publisher.publish(*events(range(20)))
        await predictions_of(settings, 20)
        await publisher.publish(
            *made.candidate_messages(bad, wrong, damaged=True),
            made.deployment_message(made.deployment((3, wrong.digest), revision=2)),
        )
        statuses = await statuses_of(settings, lambda status: status.version == 3)
        assert [(s.state, s.code) for s in statuses if s.version == 3] == [("refused", "digest_mismatch")]
        await publisher.publish(*events(range(20, 40)))
        assert {p.version for _, p in await predictions_of(settings, 40)} == {1}
        process.kill()
    with start() as process:  # nothing serves as the champion's stand-in any more: wait rather than skip
        await until(
            lambda: any("champion of late" in gate for gate in process.readiness().get("missing", [])), "it says so"
        )
        await publisher.publish(*events(range(40, 60)))
        assert not process.readiness()["ready"]
        await publisher.publish(*made.candidate_messages(bad, wrong))
        await process.ready()
        found = [prediction for _, prediction in await predictions_of(settings, 60)]
    assert Counter(p.event_id for p in found) == Counter(f"e{n}" for n in range(60))
    assert {p.version for p in found if int(p.event_id[1:]) >= 40} == {3}
