"""The embedded platform for real: one broker and one database of this module's own, as they are killed here."""

import asyncio
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pymongo import MongoClient

from deploy.local import artifacts, kafka_probe, places, ports
from deploy.local.errors import PlatformError
from deploy.local.kafka import KafkaProcess
from deploy.local.kafka_storage import cluster_id
from deploy.local.leash import Leash
from deploy.local.mongo import MongoProcess
from deploy.local.platform import Platform, running

pytestmark = pytest.mark.kafka


def eventually(fact: Callable[[], bool], within_s: float = 20.0) -> bool:
    deadline = time.monotonic() + within_s
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("data, with a comma"), report=print) as platform:
        yield platform


def database(platform: Platform) -> MongoProcess:
    assert platform.mongo is not None
    return platform.mongo


async def create_topic(servers: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()


async def produce(servers: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def first_value(servers: str, topic: str) -> bytes | None:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        value: bytes | None = (await asyncio.wait_for(consumer.getone(), 20)).value
        return value
    finally:
        await consumer.stop()


async def stored_record(servers: str) -> tuple[str, bytes]:
    topic, value = f"t-{uuid.uuid4()}", uuid.uuid4().bytes
    await create_topic(servers, topic)
    await produce(servers, topic, value)
    return topic, value


async def test_an_acknowledged_record_survives_kill_9_of_the_broker_at_the_same_address(own: Platform) -> None:
    servers, pid = own.kafka.bootstrap_servers, own.kafka.pid
    topic, value = await stored_record(servers)
    own.kafka.kill()
    assert not psutil.pid_exists(pid)
    own.kafka.start()
    assert own.kafka.bootstrap_servers == servers
    assert own.endpoints.kafka_pid == own.kafka.pid != pid
    assert await first_value(servers, topic) == value


async def test_an_orderly_restart_keeps_the_cluster_and_its_records(own: Platform) -> None:
    topic, value = await stored_record(own.kafka.bootstrap_servers)
    before = kafka_probe.view(own.kafka.port)
    own.kafka.stop()
    own.kafka.start()
    assert kafka_probe.view(own.kafka.port) == before
    assert await first_value(own.kafka.bootstrap_servers, topic) == value


def test_a_committed_document_survives_kill_9_of_the_database_at_the_same_address(own: Platform) -> None:
    mongo, key = database(own), uuid.uuid4().hex
    uri, file = mongo.uri, own.data_dir / "mongo" / "headrace.h2"
    with MongoClient[dict[str, object]](uri) as client:
        client.get_database("facts").get_collection("facts").insert_one({"_id": key})
    assert eventually(lambda: key.encode() in file.read_bytes(), 2)
    mongo.kill()
    mongo.start()
    assert mongo.uri == uri
    with MongoClient[dict[str, object]](uri) as client:
        assert client.get_database("facts").get_collection("facts").count_documents({"_id": key}) == 1


def test_a_second_instance_on_the_same_directory_is_told_who_holds_it(own: Platform) -> None:
    with (
        pytest.raises(PlatformError, match=f"in use by process {os.getpid()}"),
        running(own.data_dir, report=print),
    ):
        pytest.fail("two instances on one directory")


def test_a_port_in_use_is_refused_before_anything_starts(own: Platform, tmp_path: Path) -> None:
    with (
        pytest.raises(PlatformError, match=f"Port {own.kafka.port} for Kafka is in use"),
        running(tmp_path, kafka_port=own.kafka.port, report=print),
    ):
        pytest.fail("two brokers on one port")


def test_an_unwritable_directory_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PlatformError, match="cannot be written"), running(tmp_path / "file", report=print):
        pytest.fail("a file served as directory")


async def test_a_port_taken_by_another_broker_leads_to_a_further_one(own: Platform, tmp_path: Path) -> None:
    cache = places.cache_dir()
    jars = artifacts.ensure(artifacts.pinned("kafka"), cache, print)
    with Leash() as leash:
        late = KafkaProcess(tmp_path, jars, leash=leash, cache=cache)
        late.port = own.kafka.port  # as if the other had been quicker to bind a port that was free a moment ago
        late.start()
        assert late.port != own.kafka.port
        seen = kafka_probe.view(late.port)
        assert seen is not None
        assert seen.cluster_id == cluster_id(tmp_path / "kafka")
        late.stop()


async def test_an_unusable_start_up_cache_does_not_keep_the_broker_down(tmp_path: Path) -> None:
    cache = places.cache_dir()
    jars = artifacts.ensure(artifacts.pinned("kafka"), cache, print)
    with Leash() as leash:
        broker = KafkaProcess(tmp_path / "data", jars, leash=leash, cache=tmp_path)
        broker._aot.file.write_bytes(b"not a cache" * 1000)
        broker.start()
        assert broker.alive
        broker.kill()


@pytest.mark.timeout(60)
def test_a_start_on_an_empty_cache_does_not_wait_for_the_broker_that_records_it(tmp_path: Path) -> None:
    jars = artifacts.ensure(artifacts.pinned("kafka"), places.cache_dir(), print)
    with Leash() as leash:
        first, second = (
            KafkaProcess(tmp_path / name, jars, leash=leash, cache=tmp_path) for name in ("first", "second")
        )
        first.start()
        assert first._aot.recording
        first._template.unlink()  # as two that start at once see it
        second.start()
        assert first.alive
        assert second.alive
        first.kill()
        second.kill()


def test_an_altered_jar_without_network_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{ports.HOST}:{ports.pick(1)[0]}")
    jar = artifacts.pinned("mongo")[0]
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / jar.name).write_bytes(b"altered")
    with pytest.raises(PlatformError, match="needs network access"):
        artifacts.ensure((jar,), tmp_path, print)
    assert [file.name for file in tmp_path.iterdir() if file.is_dir()] == ["jars"]
