"""Services whose data directory is full: a sentence, patience, and nothing lost once there is space."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from monitoring_scene import closed_windows, monitored_world, stretch, two_partitions
from service_process import ServiceProcess, eventually
from small_disk import small_disk
from training_scene import stream

from schemas.topics import EVENTS_VALIDATED, LABELS_VALIDATED, dead_letters
from shared.publishing import Publisher
from shared.records import Outgoing
from shared.settings import PlatformSettings
from shared.tables import read_to_end
from shared.topic_admin import apply_topics

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

HOURS = 6


def joined(directory: Path) -> list[list[Any]]:
    """What the label joins hold, field by field, without the numbers SQLite gave."""
    found = []
    for file in sorted(directory.glob("labels-*.sqlite")):
        connection = sqlite3.connect(file)
        found.append(
            [
                sorted(
                    connection.execute(
                        "SELECT p.key, s.model, s.version, s.route, p.start, p.score, p.predicted, p.probabilities, p.appended "
                        "FROM predictions p JOIN series s ON s.id = p.series"
                    )
                ),
                sorted(connection.execute("SELECT key, value, version, observed, appended FROM labels")),
                sorted(connection.execute("SELECT topic, next FROM positions")),
            ]
        )
        connection.close()
    return found


async def test_monitoring_waits_for_space_and_its_join_rebuilt_from_the_topics_is_equal(
    settings: PlatformSettings, service_env: dict[str, str], tmp_path: Path
) -> None:
    await apply_topics(settings)
    parts = two_partitions(HOURS)
    log = tmp_path / "log"
    with small_disk(tmp_path / "disk") as disk:
        env = {
            **service_env,
            "HEADRACE_MONITORING__DATA_DIR": str(disk.path),
            "HEADRACE_DEAD_LETTERS__ATTEMPTS": "100",
        }
        async with Publisher(settings) as publisher:
            await publisher.publish(*monitored_world(), *stretch(parts, 0, 0.3))
            with ServiceProcess("monitoring", env, log) as process:
                await process.ready()
                disk.fill()
                await publisher.publish(*stretch(parts, 0.3, 1))

                async def said() -> str:
                    return log.read_text()

                await eventually(said, lambda text: "free space there; nothing is lost" in text, "the sentence")
                assert not process.readiness()["ready"]
                disk.free()
                windows = await closed_windows(settings, HOURS)
                assert process.stop() == 0
        assert {w.rows for w in windows if w.lane == "performance"} == {120}
        assert await read_to_end(settings, dead_letters("monitoring")) == []
        found = []
        for lose in (False, True):  # the join as it was kept, brought up to date; and from the topics alone
            for file in disk.path.iterdir() if lose else ():
                file.unlink()
            with ServiceProcess("monitoring", env, log) as process:
                await process.ready()
                assert process.stop() == 0
            found.append(joined(disk.path))
    assert found[0] == found[1]
    assert sum(len(predictions) for predictions, _, _ in found[0]) > 100


async def test_trainings_store_waits_for_space_and_then_holds_every_record(
    settings: PlatformSettings, service_env: dict[str, str], tmp_path: Path
) -> None:
    await apply_topics(settings)
    topics = {topic.name: topic for topic in (EVENTS_VALIDATED, LABELS_VALIDATED)}
    records = [
        Outgoing(topics[name], entry.key, entry.value, entry.headers, entry.partition)
        for name, entry in stream("binary", 200)
    ]
    log = tmp_path / "log"
    with small_disk(tmp_path / "disk") as disk:
        env = {
            **service_env,
            "HEADRACE_TRAINING__DATA_DIR": str(disk.path),
            "HEADRACE_TRAINING__FLUSH_SECONDS": "0.5",
        }
        with ServiceProcess("training", env, log) as process:
            await process.ready()
            disk.fill()
            async with Publisher(settings) as publisher:
                await publisher.publish(*records)
            assert await process.died() == 70
            assert "The data-set store cannot write to" in log.read_text()
            assert "Trying again" in log.read_text()
        disk.free()
        with ServiceProcess("training", env, log) as process:

            async def rows() -> int:
                file = disk.path / "segments" / "store.json"
                return sum(s["rows"] for s in json.loads(file.read_text())["segments"]) if file.exists() else 0

            await eventually(rows, lambda count: count == 400, "200 events and 200 labels")
            assert process.stop() == 0
        assert not list((disk.path / "segments").glob("*.part"))
