"""Live FeatureSets get a tick in every partition of both raw topics; replayed ones get none from here."""

from ingestion_scene import EdgeScene
from rides import FEATURE_SET, NOW, stored

from schemas.events.ingestion import Tick
from services.ingestion.ticks import ticks
from shared.records import read


def test_only_sets_that_live_by_the_clock_are_ticked() -> None:
    scene = EdgeScene()
    replayed = {**FEATURE_SET, "metadata": {**FEATURE_SET["metadata"], "name": "old"}}
    scene.apply({**replayed, "spec": {**FEATURE_SET["spec"], "clock": "replay"}})
    assert scene.definitions.live_sets() == ["rides@1"]


def test_a_tick_reaches_every_partition_of_both_raw_topics() -> None:
    found = ticks(["rides@1"], NOW.replace(microsecond=5), 2)
    assert [(each.topic.name, each.partition) for each in found] == [
        ("events.raw", 0),
        ("events.raw", 1),
        ("labels.raw", 0),
        ("labels.raw", 1),
    ]
    _, tick = read(Tick, stored(found[0]))
    assert tick == Tick(feature_set="rides@1", time=NOW)
