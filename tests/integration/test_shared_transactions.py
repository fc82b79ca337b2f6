"""Effectively once on a real Kafka: joined topics, re-routing, fencing, and processes that come, go and are killed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidTxnState, KafkaError

from schemas.topics import (
    ALERTS,
    CATALOGUE,
    DEFINITIONS,
    EVENTS_RAW,
    EVENTS_REJECTED,
    EVENTS_VALIDATED,
    LABELS_RAW,
    METRICS_WINDOWS,
    REGISTRY_EVENTS,
    Topic,
    dead_letters,
)
from shared import broker as brokers
from shared import noted_positions as noted_positions_module
from shared.broker import kafka_broker
from shared.clock import SystemClock
from shared.dead_letters import dead_letter, read_dead_letter
from shared.errors import TransientError
from shared.health import Health
from shared.kafka_clients import admin_client, reader
from shared.noted_positions import POSITION_HEADER, TAIL, encoded, noted_positions
from shared.partition_handover import PartitionHandover
from shared.partition_slot import OutdatedError
from shared.publishing import Publisher
from shared.records import Outgoing, Record, TopicNames, topic_name
from shared.settings import DeadLetterSettings, Delivery, PlatformSettings
from shared.tables import Table, read_to_end
from shared.topic_admin import apply_topics
from shared.transaction_producer import PartitionProducer
from shared.transactions import PartitionProcessor, transactional_subscriber

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

SERVICE = Path(__file__).parent / "shared_counting_service.py"

Process = Callable[[Sequence[Record]], Sequence[Outgoing]]


class Processor:
    """What a test's function does, as a processor."""

    def __init__(self, function: Process) -> None:
        self._function = function
        self.closed = False

    def process(self, records: Sequence[Record]) -> Sequence[Outgoing]:
        return self._function(records)

    def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def stage(
    settings: PlatformSettings,
    topics: Sequence[Topic],
    process: Process | Callable[[int], PartitionProcessor],
    *,
    delivery: Delivery = Delivery.EXACTLY_ONCE,
) -> AsyncIterator[Health]:
    """A transactional stage in this process, stopped at the end."""
    await apply_topics(settings, [topic for topic in CATALOGUE if "validation" in topic.writers or topic in topics])
    health = Health()
    broker = kafka_broker(settings, service="validation")

    async def open_partition(number: int) -> PartitionProcessor:
        return process(number) if isinstance(process, type) else Processor(process)

    transactional_subscriber(
        broker,
        settings,
        service="validation",
        stage="main",
        topics=topics,
        open_partition=open_partition,
        health=health,
        delivery=delivery,
    )
    await broker.start()
    try:
        yield health
    finally:
        await brokers.stop(broker)


async def until(read: Callable[[], Awaitable[list[Record]]], count: int, *, seconds: float = 40) -> list[Record]:
    """Poll until there are ``count`` records."""
    async with asyncio.timeout(seconds):
        while len(found := await read()) < count:
            await asyncio.sleep(0.1)
    return found


async def publish(settings: PlatformSettings, *outgoing: Outgoing) -> None:
    async with Publisher(settings) as publisher:
        await publisher.publish(*outgoing)


async def committed(settings: PlatformSettings, group: str, topic: Topic) -> dict[int, int | None]:
    """The offsets ``group`` has committed, by partition."""
    consumer = reader(settings.kafka, group_id=settings.topics.prefix + group)
    await consumer.start()
    try:
        name = topic_name(settings, topic)
        places = [TopicPartition(name, n) for n in range(settings.topics.partitions)]
        consumer.assign(places)
        return {place.partition: await consumer.committed(place) for place in places}
    finally:
        await consumer.stop()


async def test_joined_topics_reach_one_processor_in_the_order_of_declaration(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW, LABELS_RAW, EVENTS_VALIDATED])
    names = TopicNames(settings.topics.prefix)
    await publish(settings, *(Outgoing(LABELS_RAW, b"k", b"l%d" % n, partition=1) for n in range(3)))
    await publish(settings, *(Outgoing(EVENTS_RAW, b"k", b"e%d" % n, partition=1) for n in range(3)))
    batches: list[list[bytes | None]] = []

    def process(records: Sequence[Record]) -> list[Outgoing]:
        batches.append([record.value for record in records])
        assert all(names.logical(record.topic) in (EVENTS_RAW, LABELS_RAW) for record in records)
        return [Outgoing(EVENTS_VALIDATED, r.key, r.value) for r in records]

    async with stage(settings, [EVENTS_RAW, LABELS_RAW], process):
        found = await until(lambda: read_to_end(settings, EVENTS_VALIDATED, 1), 6)
    assert sorted(str(r.value) for r in found) == sorted(str(v) for batch in batches for v in batch)
    for batch in batches:
        assert batch == sorted(batch, key=lambda value: (value or b"")[:1])  # events before labels
    assert [r.value for r in found if (r.value or b"").startswith(b"e")] == [b"e0", b"e1", b"e2"]


async def test_outputs_go_to_the_inputs_partition_to_the_only_one_or_where_they_say(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW, EVENTS_VALIDATED, EVENTS_REJECTED, REGISTRY_EVENTS])

    def process(records: Sequence[Record]) -> list[Outgoing]:
        return [
            item
            for r in records
            for item in (
                Outgoing(EVENTS_VALIDATED, r.key, r.value, [("h", b"1")]),
                Outgoing(REGISTRY_EVENTS, r.key, r.value),
                Outgoing(EVENTS_REJECTED, r.key, r.value, partition=0),
            )
        ]

    await publish(settings, Outgoing(EVENTS_RAW, b"k", b"v", partition=1))
    async with stage(settings, [EVENTS_RAW], process):
        await until(lambda: read_to_end(settings, REGISTRY_EVENTS), 1)
        (validated,) = await read_to_end(settings, EVENTS_VALIDATED)
        (rejected,) = await read_to_end(settings, EVENTS_REJECTED)
    assert validated.partition == 1
    assert [name for name, _ in validated.headers] == ["h", POSITION_HEADER]
    assert [name for name, _ in rejected.headers] == []
    assert rejected.partition == 0


async def test_a_batch_without_outputs_still_commits_its_offsets(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW])
    await publish(settings, *(Outgoing(EVENTS_RAW, b"k", b"v", partition=n) for n in (0, 0, 1)))
    async with stage(settings, [EVENTS_RAW], lambda _records: []), asyncio.timeout(30):
        while await committed(settings, "validation.main", EVENTS_RAW) != {0: 2, 1: 1}:
            await asyncio.sleep(0.1)


async def test_more_output_than_one_batch_holds_becomes_visible_whole(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW, EVENTS_VALIDATED])
    sizes = [700_000, 10, 200_000, 200_000, 200_000, 1_000_000, 10]
    await publish(settings, Outgoing(EVENTS_RAW, b"k", b"v", partition=0))
    async with stage(
        settings, [EVENTS_RAW], lambda _records: [Outgoing(EVENTS_VALIDATED, b"k", b"x" * size) for size in sizes]
    ):
        found = await until(lambda: read_to_end(settings, EVENTS_VALIDATED, 0), len(sizes))
    assert [len(r.value or b"") for r in found] == sizes


async def test_a_record_that_breaks_the_code_becomes_a_dead_letter_alone(settings: PlatformSettings) -> None:
    letters = dead_letters("validation")
    await apply_topics(settings, [EVENTS_RAW, EVENTS_VALIDATED, letters])
    opened: Counter[int] = Counter()

    class Counting:
        """Numbers what it sees: what it saw before it broke must not count."""

        def __init__(self, number: int) -> None:
            self._seen = 0
            opened[number] += 1

        def process(self, records: Sequence[Record]) -> list[Outgoing]:
            outputs = []
            for record in records:
                self._seen += 1
                if record.value == b"13":
                    problem = "a bug met record 13"
                    raise ValueError(problem)
                outputs.append(Outgoing(EVENTS_VALIDATED, record.key, record.value))
            return outputs

        def close(self) -> None:
            pass

    await publish(settings, *(Outgoing(EVENTS_RAW, b"k", b"%d" % n, partition=0) for n in range(30)))
    async with stage(settings, [EVENTS_RAW], Counting) as health:
        found = await until(lambda: read_to_end(settings, EVENTS_VALIDATED), 29)
        [letter] = await until(lambda: read_to_end(settings, letters), 1)
        await publish(settings, Outgoing(EVENTS_RAW, b"k", b"30", partition=0))
        found = await until(lambda: read_to_end(settings, EVENTS_VALIDATED), 30)
        assert health.missing == []
    assert health.failure is None
    assert [r.value for r in found] == [b"%d" % n for n in range(31) if n != 13]
    body = read_dead_letter(letter)
    assert (body.code, body.origin.offset) == ("unexpected", 13)
    assert "a bug met record 13" in body.message
    assert 2 < opened[0] < 12
    assert opened[1] == 1


async def test_code_that_breaks_on_everything_stops_at_the_limit(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW, EVENTS_VALIDATED])

    def process(_records: Sequence[Record]) -> list[Outgoing]:
        problem = "a bug"
        raise ValueError(problem)

    strict = settings.model_copy(update={"dead_letters": DeadLetterSettings(in_a_row=3)})
    await publish(settings, *(Outgoing(EVENTS_RAW, b"k", b"v", partition=0) for _ in range(9)))
    async with stage(strict, [EVENTS_RAW], process) as health, asyncio.timeout(60):
        assert "3 records in a row" in await health.failed()
    assert (await committed(settings, "validation.main", EVENTS_RAW))[0] == 2
    assert len(await read_to_end(settings, dead_letters("validation"))) == 2


async def test_a_partition_that_waits_while_it_is_given_away_is_not_opened_again(settings: PlatformSettings) -> None:
    await apply_topics(settings, [topic for topic in CATALOGUE if "validation" in topic.writers])
    opened: list[int] = []
    topics = [EVENTS_RAW]

    class Busy:
        def __init__(self, number: int) -> None:
            opened.append(number)

        def process(self, records: Sequence[Record]) -> list[Outgoing]:
            raise TransientError(f"{len(records)} records meet a locked file")

        def close(self) -> None:
            pass

    async def open_partition(number: int) -> PartitionProcessor:
        return Busy(number)

    handover = PartitionHandover(
        settings,
        service="validation",
        stage="main",
        topics=topics,
        open_partition=open_partition,
        health=(health := Health()),
        delivery=Delivery.EXACTLY_ONCE,
    )
    consumer = reader(settings.kafka, group_id=f"{settings.topics.prefix}validation.main")
    await consumer.start()
    try:
        places = {TopicPartition(topic_name(settings, EVENTS_RAW), 0)}
        consumer.assign(places)
        handover.consumer = lambda: consumer
        await handover.on_partitions_assigned(places)
        async with asyncio.timeout(30):
            while not handover.slots:
                await asyncio.sleep(0.02)
        async with handover.busy:  # a batch is in flight
            giving = asyncio.create_task(handover.on_partitions_revoked(places))
            await asyncio.sleep(0)
            await handover.set_aside(handover.slots[0], TransientError("a locked file"))
        await giving
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "open 0"]
    finally:
        await handover.close()
        await consumer.stop()
    assert opened == [0]
    assert health.failure is None


async def test_a_refused_output_commits_nothing(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW, EVENTS_VALIDATED])
    await publish(settings, Outgoing(EVENTS_RAW, b"k", b"v", partition=0))
    outputs = [Outgoing(EVENTS_VALIDATED, b"k", b"small"), Outgoing(EVENTS_VALIDATED, b"k", b"x" * 2_000_000)]
    async with stage(settings, [EVENTS_RAW], lambda _records: outputs) as health, asyncio.timeout(30):
        await health.failed()
    assert await committed(settings, "validation.main", EVENTS_RAW) == {0: None, 1: None}
    assert await read_to_end(settings, EVENTS_VALIDATED) == []


async def test_topics_of_one_partition_are_processed_by_one_writer(settings: PlatformSettings) -> None:
    await apply_topics(settings, [ALERTS, METRICS_WINDOWS, REGISTRY_EVENTS])
    await publish(settings, Outgoing(ALERTS, b"k", b"a"), Outgoing(METRICS_WINDOWS, b"k", b"w"))
    async with stage(
        settings, [ALERTS, METRICS_WINDOWS], lambda rs: [Outgoing(REGISTRY_EVENTS, r.key, r.value) for r in rs]
    ):
        found = await until(lambda: read_to_end(settings, REGISTRY_EVENTS), 2)
    assert {r.value for r in found} == {b"a", b"w"}


async def test_a_stage_goes_on_where_it_was_stopped(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW, EVENTS_VALIDATED])
    for round_number in range(3):
        await publish(settings, Outgoing(EVENTS_RAW, b"k", b"%d" % round_number, partition=0))
        async with stage(settings, [EVENTS_RAW], lambda rs: [Outgoing(EVENTS_VALIDATED, r.key, r.value) for r in rs]):
            found = await until(lambda: read_to_end(settings, EVENTS_VALIDATED), round_number + 1)
        assert [r.value for r in found] == [b"%d" % n for n in range(round_number + 1)]


async def forget(settings: PlatformSettings, group: str, offsets: dict[Topic, int]) -> None:
    """Set the offsets of partition 0 that an empty ``group`` has committed."""
    consumer = reader(settings.kafka, group_id=settings.topics.prefix + group)
    await consumer.start()
    try:
        places = {TopicPartition(topic_name(settings, topic), 0): offset for topic, offset in offsets.items()}
        consumer.assign(list(places))
        await consumer.commit(places)
    finally:
        await consumer.stop()


async def test_a_group_that_has_forgotten_its_offsets_repeats_nothing(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW, LABELS_RAW, EVENTS_VALIDATED])
    topics = [EVENTS_RAW, LABELS_RAW]

    def process(records: Sequence[Record]) -> list[Outgoing]:
        return [Outgoing(EVENTS_VALIDATED, r.key, r.value, r.headers) for r in records]

    await publish(settings, *(Outgoing(LABELS_RAW, b"k", b"l%d" % n, partition=0) for n in range(3)))
    async with stage(settings, topics, process):
        await until(lambda: read_to_end(settings, EVENTS_VALIDATED), 3)
        await publish(settings, *(Outgoing(EVENTS_RAW, b"k", b"e%d" % n, partition=0) for n in range(2 * TAIL)))
        await until(lambda: read_to_end(settings, EVENTS_VALIDATED), 2 * TAIL + 3)
    await forget(settings, "validation.main", {EVENTS_RAW: 7, LABELS_RAW: 0})
    await publish(settings, Outgoing(EVENTS_RAW, b"k", b"last", partition=0))
    async with stage(settings, topics, process) as health:
        found = await until(lambda: read_to_end(settings, EVENTS_VALIDATED), 2 * TAIL + 4)
        assert health.failure is None
    assert Counter(r.value for r in found).most_common(1)[0][1] == 1
    assert found[-1].value == b"last"
    assert (await committed(settings, "validation.main", EVENTS_RAW))[0] == 2 * TAIL + 1
    assert (await committed(settings, "validation.main", LABELS_RAW))[0] == 3, "although no label came since"


async def test_an_aborted_batch_does_not_hide_what_the_outputs_say(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW, EVENTS_VALIDATED])
    names = TopicNames(settings.topics.prefix)
    group, place = f"{settings.topics.prefix}validation.main", TopicPartition(names.name(EVENTS_RAW), 0)
    output = TopicPartition(names.name(EVENTS_VALIDATED), 0)
    ours = PartitionProducer(settings.kafka, names, transactional_id=f"{group}.0", group=group, witnesses=[output])
    await ours.start()
    await ours.commit(0, [Outgoing(EVENTS_VALIDATED, b"k", b"%d" % n) for n in range(3)], {place: 3})
    inner = ours._producer
    assert inner is not None
    await inner.begin_transaction()
    for _ in range(2 * TAIL):
        await inner.send(output.topic, b"aborted", partition=0)
    await inner.abort_transaction()
    await ours.stop()
    said = await noted_positions(settings.kafka, [output], group=group, partition=0)
    assert {topic: note.offset for topic, note in said.items()} == {place.topic: 3}
    assert await noted_positions(settings.kafka, [output], group=group, partition=1) == {}
    assert await noted_positions(settings.kafka, [output], group="another", partition=0) == {}


@pytest.mark.parametrize("said", [2, 1000], ids=["grown past it", "not so long"])
async def test_what_outputs_say_of_a_topic_that_was_made_anew_is_not_believed(
    settings: PlatformSettings, said: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noted_positions_module, "SKEW_MILLISECONDS", 0)
    await apply_topics(settings, [EVENTS_RAW, EVENTS_VALIDATED])
    place = TopicPartition(topic_name(settings, EVENTS_RAW), 0)
    note = (POSITION_HEADER, encoded(f"{settings.topics.prefix}validation.main", 0, {place: said}))
    await publish(settings, Outgoing(EVENTS_VALIDATED, b"k", b"of the topic before", [note], 0))
    await asyncio.sleep(0.01)  # the broker's clock has milliseconds
    await publish(settings, *(Outgoing(EVENTS_RAW, b"k", b"%d" % n, partition=0) for n in range(3)))
    async with stage(settings, [EVENTS_RAW], lambda rs: [Outgoing(EVENTS_VALIDATED, r.key, r.value) for r in rs]):
        found = await until(lambda: read_to_end(settings, EVENTS_VALIDATED), 4)
    assert [r.value for r in found[1:]] == [b"0", b"1", b"2"]


@pytest.mark.parametrize("delivery", Delivery)
async def test_a_poisoned_partition_stops_the_service_and_restarts_drain_nothing(
    settings: PlatformSettings, delivery: Delivery
) -> None:
    letters = dead_letters("validation")
    await apply_topics(settings, [EVENTS_RAW, letters])
    names = TopicNames(settings.topics.prefix)

    def die(records: Sequence[Record]) -> list[Outgoing]:
        return [dead_letter(r, service="validation", code="bad", message="bad", clock=SystemClock()) for r in records]

    strict = settings.model_copy(update={"dead_letters": DeadLetterSettings(in_a_row=4)})
    for count, standing in ((3, 3), (1, 3), (2, 3)):  # one by one they come, one restart after the other
        await publish(settings, *(Outgoing(EVENTS_RAW, b"k", b"v", partition=0) for _ in range(count)))
        async with stage(strict, [EVENTS_RAW], die, delivery=delivery) as health, asyncio.timeout(30):
            if standing == count:
                await until(lambda: read_to_end(settings, letters), standing)
            else:
                assert "4 records in a row" in await health.failed() or health.failure
        assert len(await read_to_end(settings, letters)) == standing
    assert (await committed(settings, "validation.main", EVENTS_RAW))[0] == 3
    lifted = settings.model_copy(update={"dead_letters": DeadLetterSettings(in_a_row=1000)})
    async with stage(lifted, [EVENTS_RAW], die, delivery=delivery):
        await until(lambda: read_to_end(settings, letters), 6)
    assert names.name(EVENTS_RAW)


async def test_what_may_pass_is_tried_again_with_state_rebuilt_while_other_partitions_go_on(
    settings: PlatformSettings,
) -> None:
    await apply_topics(settings, [EVENTS_RAW, EVENTS_VALIDATED])
    opened: Counter[int] = Counter()
    faults: list[Exception] = [TransientError("the file is locked"), OSError(28, "No space left on device")]

    class Flaky:
        def __init__(self, number: int) -> None:
            opened[number] += 1

        def process(self, records: Sequence[Record]) -> list[Outgoing]:
            if records[0].partition == 0 and faults:
                raise faults.pop(0)
            return [Outgoing(EVENTS_VALIDATED, r.key, r.value) for r in records]

        def close(self) -> None:
            pass

    await publish(settings, *(Outgoing(EVENTS_RAW, b"k", b"%d" % n, partition=n % 2) for n in range(20)))
    async with stage(settings, [EVENTS_RAW], Flaky) as health:
        found = await until(lambda: read_to_end(settings, EVENTS_VALIDATED), 20)
        await publish(settings, Outgoing(EVENTS_RAW, b"k", b"20", partition=0))
        found = await until(lambda: read_to_end(settings, EVENTS_VALIDATED), 21)
        assert health.missing == []
    assert health.failure is None
    assert opened == {0: 3, 1: 1}
    assert [r.value for r in found if r.partition == 0] == [b"%d" % n for n in range(0, 21, 2)]


async def test_what_does_not_pass_ends_the_process_with_nothing_dropped(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW, EVENTS_VALIDATED])
    tries: list[int] = []

    def process(records: Sequence[Record]) -> list[Outgoing]:
        tries.append(len(records))
        raise OSError(28, "No space left on device")

    patient = settings.model_copy(update={"dead_letters": DeadLetterSettings(attempts=3)})
    await publish(settings, Outgoing(EVENTS_RAW, b"k", b"v", partition=0))
    async with stage(patient, [EVENTS_RAW], process) as health, asyncio.timeout(30):
        assert "No space left on device" in await health.failed()
    assert tries == [1, 1, 1]
    assert await committed(settings, "validation.main", EVENTS_RAW) == {0: None, 1: None}


async def test_a_new_owner_fences_the_old_one_and_its_open_transaction(settings: PlatformSettings) -> None:
    await apply_topics(settings, [EVENTS_RAW, EVENTS_VALIDATED])
    names = TopicNames(settings.topics.prefix)
    place = TopicPartition(topic_name(settings, EVENTS_RAW), 0)
    old, new = (
        PartitionProducer(settings.kafka, names, transactional_id=f"{settings.topics.prefix}a.b.0", group="g")
        for _ in range(2)
    )
    await old.start()
    try:
        await old.commit(0, [Outgoing(EVENTS_VALIDATED, b"k", b"first")], {place: 1})
        await new.start()
        with pytest.raises((KafkaError, TimeoutError)):
            await old.commit(0, [Outgoing(EVENTS_VALIDATED, b"k", b"stale")], {place: 2})
        await new.commit(0, [Outgoing(EVENTS_VALIDATED, b"k", b"second")], {place: 2})
    finally:
        await old.stop()
        await new.stop()
    assert [r.value for r in await read_to_end(settings, EVENTS_VALIDATED)] == [b"first", b"second"]


@pytest.fixture
def spawn(service_env: dict[str, str], tmp_path: Path) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Starts processes of the counting service; all are gone at the end."""
    started: list[subprocess.Popen[bytes]] = []
    root = Path(__file__).parents[2]
    env = {**os.environ, **service_env, "PYTHONPATH": str(root), "HEADRACE_KAFKA__SESSION_TIMEOUT": "6"}

    def start() -> "subprocess.Popen[bytes]":
        log = (tmp_path / f"service-{len(started)}.log").open("wb")
        env["HEADRACE_INSTANCE"] = f"instance-{len(started)}"
        process = subprocess.Popen([sys.executable, str(SERVICE)], env=env, cwd=root, stderr=log, stdout=log)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


async def test_processes_that_join_leave_and_are_killed_neither_lose_nor_repeat(
    settings: PlatformSettings, spawn: Callable[[], "subprocess.Popen[bytes]"]
) -> None:
    """2000 records, one process killed with kill -9 in full work, one drained: each record counted exactly once."""
    await apply_topics(settings, [EVENTS_RAW, EVENTS_VALIDATED])

    async def feed(first: int, count: int) -> None:
        async with Publisher(settings) as publisher:
            for start in range(first, first + count, 20):
                await publisher.publish(
                    *(Outgoing(EVENTS_RAW, b"k%d" % (n % 37), b"v%d" % n) for n in range(start, start + 20))
                )
                await asyncio.sleep(0.01)

    def counted() -> Awaitable[list[Record]]:
        return read_to_end(settings, EVENTS_VALIDATED)

    first = spawn()
    feeding = asyncio.create_task(feed(0, 1500))
    await until(counted, 100)
    second = spawn()
    await until(counted, 600)
    first.kill()
    third = spawn()
    await feeding
    await until(counted, 1500)
    feeding = asyncio.create_task(feed(1500, 500))
    await until(counted, 1600)
    second.send_signal(signal.SIGTERM)
    await feeding
    found = await until(counted, 2000)

    assert sorted((r.value or b"").split(b":")[1] for r in found) == sorted(b"v%d" % n for n in range(2000))
    for number in range(settings.topics.partitions):
        numbers = [int((r.value or b"").split(b":")[0]) for r in found if r.partition == number]
        assert numbers == list(range(1, len(numbers) + 1)), "state was not rebuilt from what the predecessor committed"
    assert second.wait(timeout=20) == 0
    third.send_signal(signal.SIGTERM)
    assert third.wait(timeout=20) == 0


@asynccontextmanager
async def unverified(settings: PlatformSettings) -> AsyncIterator[None]:
    """A broker that takes transactional records without asking the coordinator whether it knows of them."""
    name = "transaction.partition.verification.enable"
    admin = admin_client(settings.kafka)
    await admin.start()
    try:
        await admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", {name: "false"})])
        yield  # it takes a moment: `leave_without_markers` tries again
    finally:
        await admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", {name: "true"})])
        await admin.close()


async def leave_without_markers(settings: PlatformSettings, outputs: Sequence[Outgoing], following: int) -> None:
    """A committed transaction as a broker leaves it that was stopped before it wrote the markers: records and offsets hang."""
    group = f"{settings.topics.prefix}validation.main"
    output, taken = (TopicPartition(topic_name(settings, topic), 0) for topic in (EVENTS_VALIDATED, EVENTS_RAW))
    names = TopicNames(settings.topics.prefix)
    async with asyncio.timeout(30):
        while True:
            producer = PartitionProducer(settings.kafka, names, transactional_id=f"{group}.0", group=group)
            await producer.start()
            inner = producer._producer
            assert inner is not None
            await inner.begin_transaction()
            inner._txn_manager._txn_partitions.add(output)  # the coordinator is not told, so it has no marker to write
            inner._txn_manager._txn_consumer_group = group
            batch = inner.create_batch()
            for item in outputs:
                batch.append(timestamp=None, key=item.key, value=item.value)
            try:
                await (await inner.send_batch(batch, output.topic, partition=0))
                await inner.send_offsets_to_transaction({taken: following}, group)
            except InvalidTxnState:
                await asyncio.sleep(0.2)
            else:
                return
            finally:
                await producer.stop()


async def test_a_transaction_whose_markers_a_stopped_broker_never_wrote_is_completed_before_its_successor_begins(
    settings: PlatformSettings,
) -> None:
    """Found by the fault harness: a broker SIGTERM under load made predictions stand twice."""
    await apply_topics(settings)

    def process(records: Sequence[Record]) -> Sequence[Outgoing]:
        return [Outgoing(EVENTS_VALIDATED, record.key, record.value) for record in records]

    await publish(settings, *(Outgoing(EVENTS_RAW, b"k", str(n).encode(), partition=0) for n in range(4)))
    async with unverified(settings):
        await leave_without_markers(settings, [Outgoing(EVENTS_VALIDATED, b"k", str(n).encode()) for n in range(3)], 3)
        async with stage(settings, [EVENTS_RAW], process):
            await until(lambda: read_to_end(settings, EVENTS_VALIDATED, 0), 4)
    assert [record.value for record in await read_to_end(settings, EVENTS_VALIDATED, 0)] == [b"0", b"1", b"2", b"3"]


async def test_a_processor_that_needs_the_present_is_asked_again_once_its_tables_have_caught_up(
    settings: PlatformSettings,
) -> None:
    await apply_topics(settings)
    known: list[bytes | None] = []
    table = Table(settings, DEFINITIONS, apply=lambda record: known.append(record.value), name="example")
    up_to_date = False

    async def catch_up() -> None:
        nonlocal up_to_date
        await table.catch_up()
        up_to_date = True

    def process(records: Sequence[Record]) -> Sequence[Outgoing]:
        nonlocal up_to_date
        if not up_to_date:
            raise OutdatedError(catch_up)
        up_to_date = False
        return [Outgoing(EVENTS_VALIDATED, record.key, str(len(known)).encode()) for record in records]

    async with Publisher(settings) as publisher, table, stage(settings, [EVENTS_RAW], process):
        for number in range(1, 4):
            await publisher.publish(Outgoing(DEFINITIONS, str(number).encode(), b"x"))
            await publisher.publish(Outgoing(EVENTS_RAW, b"k", b"x"))
            await until(lambda: read_to_end(settings, EVENTS_VALIDATED), number)
    assert [record.value for record in await read_to_end(settings, EVENTS_VALIDATED)] == [b"1", b"2", b"3"]
