import os
import struct
from pathlib import Path

import pytest

from deploy.local import aot, kafka, kafka_config, kafka_probe, kafka_storage, mongo


def _text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def test_the_configuration_names_both_ports_and_replicates_nothing() -> None:
    properties = dict(line.split("=", 1) for line in kafka_config.server_properties(2001, 2002).splitlines())
    assert properties["listeners"] == "BROKER://127.0.0.1:2001,CONTROLLER://127.0.0.1:2002"
    assert properties["advertised.listeners"] == "BROKER://127.0.0.1:2001"
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:2002"
    assert {value for key, value in properties.items() if key.endswith("replication.factor")} == {"1"}
    assert properties["auto.create.topics.enable"] == "false"


def test_what_coordinators_load_after_a_kill_stays_small() -> None:
    properties = dict(line.split("=", 1) for line in kafka_config.server_properties(2001, 2002).splitlines())
    assert {properties[f"{log}.segment.bytes"] for log in ("offsets.topic", "transaction.state.log")} == {"1048576"}
    assert int(properties["log.cleaner.delete.retention.ms"]) <= 10_000


def test_the_cluster_id_written_is_the_one_read(tmp_path: Path) -> None:
    assert kafka_storage.cluster_id(tmp_path) is None
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text(kafka_config.meta_properties("cluster", "directory"))
    assert kafka_storage.cluster_id(tmp_path) == "cluster"


def test_a_metadata_answer_tells_cluster_and_brokers() -> None:
    broker = struct.pack(">i", 1) + _text("127.0.0.1") + struct.pack(">i", 9092) + struct.pack(">h", -1)
    answer = struct.pack(">ii", 1, 1) + broker + _text("cluster") + struct.pack(">i", 1)
    assert kafka_probe.parse(answer) == kafka_probe.ClusterView("cluster", (9092,))


def test_a_fenced_broker_shows_no_brokers() -> None:
    answer = struct.pack(">ii", 1, 0) + _text("cluster")
    assert kafka_probe.parse(answer).broker_ports == ()


def test_any_other_flag_or_file_means_another_start_up_cache(tmp_path: Path) -> None:
    jar = tmp_path / "a.jar"
    jar.write_bytes(b"one")
    first = aot.key(["-Xmx1g"], [jar])
    assert aot.key(["-Xmx1g"], [jar]) == first
    assert aot.key(["-Xmx2g"], [jar]) != first
    jar.write_bytes(b"other")
    assert aot.key(["-Xmx1g"], [jar]) != first


def test_a_start_up_cache_is_kept_only_from_a_run_that_ended_well(tmp_path: Path) -> None:
    cache = aot.AotCache(tmp_path / "kafka.aot")
    (flag,) = cache.flags()
    draft = Path(flag.split("=", 1)[1])
    draft.write_bytes(b"torn")
    cache.settle(ended_well=False)
    assert not draft.exists()
    cache.flags()
    draft.write_bytes(b"whole")
    cache.settle(ended_well=True)
    assert cache.flags()[0] == f"-XX:AOTCache={tmp_path / 'kafka.aot'}"


def test_a_start_up_cache_unused_for_a_month_makes_room(tmp_path: Path) -> None:
    old, recent = tmp_path / "kafka-old.aot", tmp_path / "kafka-recent.aot"
    old.touch()
    recent.touch()
    os.utime(old, (0, 0))
    cache = aot.AotCache(tmp_path / "kafka-new.aot")
    cache.flags()
    (tmp_path / "kafka-new.draft").touch()
    cache.settle(ended_well=True)
    assert {file.name for file in tmp_path.glob("*.aot")} == {"kafka-recent.aot", "kafka-new.aot"}


def test_only_one_process_records_a_start_up_cache(tmp_path: Path) -> None:
    first, second = aot.AotCache(tmp_path / "kafka.aot"), aot.AotCache(tmp_path / "kafka.aot")
    first.flags()
    assert second.flags() == []
    first.settle(ended_well=False)
    assert second.flags() != []
    second.settle(ended_well=False)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("ERROR …\njava.io.IOException: No space left on device", "disk is full"),
        ("java.net.BindException: Address already in use", "port is in use"),
        ("Failed to acquire lock on file .lock in /data", "another broker"),
        ("java.nio.file.AccessDeniedException: /data/x", "permissions"),
        ("INFO fine\nERROR Invalid value (KafkaServer)\n\tat somewhere", "Invalid value"),
        ("", "no reason"),
    ],
)
def test_a_failed_broker_start_is_told_in_one_sentence(said: str, expected: str) -> None:
    sentence = kafka.explain(said, Path("/d/logs/kafka.log"))
    assert expected in sentence
    assert "/d/logs/kafka.log" in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("ERROR java.net.BindException: Address already in use", "port is in use"),
        ("MVStoreException: The file is locked", "Another Mongo-wire server"),
        ("", "no reason"),
    ],
)
def test_a_failed_database_start_is_told_in_one_sentence(said: str, expected: str) -> None:
    assert expected in mongo.explain(said, Path("/d/logs/mongo.log"))
