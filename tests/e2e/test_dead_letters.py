"""`headrace dlq`: found by reason, shown, edited, sent again once, to its own service alone."""

import json
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer
from example_models import Example, unique
from example_producer import balance
from headrace_command import Headrace, eventually

from deploy.local.stack import Stack
from schemas.identities import partition_of

pytestmark = pytest.mark.kafka


def publish_mismatched(stack: Stack, example: Example, number: int) -> str:
    """An event whose key is not the entity its body speaks of; the right entity is ``right-<number>``."""
    row, identity = example.rows[number], unique("mismatch")
    key = f"right-{number}"
    body = {
        "feature_set": example.ref,
        "entity_id": f"wrong-{number}",
        "occurred_at": row.occurred_at.isoformat(),
        "features": row.features,
    }
    headers = {
        "ce_specversion": "1.0",
        "ce_id": identity,
        "ce_source": "tests",
        "ce_type": "headrace.event.v1",
        "content-type": "application/json",
    }
    producer = Producer({"bootstrap.servers": stack.settings.kafka.bootstrap_servers, "acks": "all"})
    producer.produce(
        f"{stack.settings.topics.prefix}events.raw",
        json.dumps(body),
        key,
        partition=partition_of(key.encode(), stack.settings.topics.partitions),
        headers=[(name, value.encode()) for name, value in headers.items()],
    )
    assert producer.flush(30) == 0
    return identity


def test_a_dead_letter_is_found_mended_and_sent_again_once(
    headrace: Headrace, stack: Stack, example: Example, tmp_path: Path
) -> None:
    before = balance(stack.settings)
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    identities = [publish_mismatched(stack, example, number) for number in range(2)]
    choice = ("validation", "--code", "key_mismatch", "--since", started)
    listed = eventually(
        lambda: found if len(found := headrace.json("dlq", "list", *choice)) == 2 else None,
        within=60,
        what="two letters",
    )
    assert headrace.json("dlq", "list", "validation", "--code", "no_such_code") == []
    first, second = (row["place"] for row in listed)
    shown = headrace.json("dlq", "show", "validation", first)
    assert ["ce_id", identities[0]] in shown["headers"] or ["ce_id", identities[1]] in shown["headers"]

    mended = tmp_path / "mended.json"
    mended.write_text(shown["payload"].replace("wrong-", "right-"))
    plan = headrace.json("dlq", "replay", "validation", first, "--payload", mended, "--dry-run")
    (sending,) = plan["sent"]
    assert (sending["topic"], sending["edited"]) == (f"{stack.settings.topics.prefix}validation.retry", True)
    assert sending["payload"] == mended.read_text()
    assert headrace.json("dlq", "list", *choice)[0]["replayed"] == 0, "a dry run sent something"
    assert headrace.json("dlq", "replay", "validation", first, "--payload", mended)["sent"] == plan["sent"]
    editor = headrace(
        "dlq", "replay", "validation", second, "--edit", env={"EDITOR": "sed -i s/wrong-/right-/", "VISUAL": None}
    )
    assert editor.returncode == 0, editor.stderr
    eventually(
        lambda: balance(stack.settings).events.validated - before.events.validated == 2,
        within=60,
        what="both validated",
    )

    assert "replayed once already" in headrace.refusal("dlq", "replay", "validation", first)
    again = headrace.json("dlq", "replay", *choice)
    assert again["sent"] == []
    assert set(again["skipped"]) == {first, second}
    headrace.say("dlq", "replay", "validation", first, "--payload", mended, "--again")
    eventually(
        lambda: balance(stack.settings).events.duplicates - before.events.duplicates == 1, within=60, what="a duplicate"
    )
    after = balance(stack.settings)
    assert after.events.balanced, after.document()


def test_what_cannot_be_replayed_is_refused_in_a_sentence(headrace: Headrace, stack: Stack) -> None:
    assert "takes no replays" in headrace.refusal("dlq", "replay", "ingestion")
    assert "There is no service" in headrace.refusal("dlq", "list", "nobody")
    assert "has no dead letter at '9/9'" in headrace.refusal("dlq", "replay", "training", "9/9")
    assert "Only one letter" in headrace.refusal("dlq", "replay", "validation", "--edit")
    assert "neither a time" in headrace.refusal("dlq", "list", "validation", "--since", "yesterday")
