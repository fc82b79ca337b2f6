"""The loop that headrace is for, across all processes: drift → alert → retraining → shadow → evidence → promotion → Slack."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from example_models import LABEL_TIMEOUT, START, Example, Row, pumps
from example_producer import ExampleProducer, facts_of, records_of, serves
from headrace_command import Headrace, eventually

from deploy.local.stack import Stack
from schemas.events.inference import ModelStatus
from schemas.events.monitoring import Alert
from schemas.events.registry import ChampionPromoted
from schemas.events.training import TrainingRequest
from schemas.topics import ALERTS, INFERENCE_STATUS, TRAINING_REQUESTS

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]  # half a minute on quiet cores

WIDER = 3.0  # how much wider the pressure spreads once the pumps have changed
CLOSED = timedelta(minutes=20)  # after a window's end: its lateness is over
PATIENCE = 240.0  # an upper bound; a busy machine takes its time


def watched() -> Example:
    """Pumps whose model retrains on drift and promotes itself on the evidence of one window of 72 rows."""
    example = pumps(windows=5)
    definitions = (
        example.definitions.replace("every: 6h", "every: 12h")
        .replace("strategy: direct", "strategy: shadow, minWindows: 1")
        .replace("  approval:", "    - {metric: roc_auc, against: champion, minDelta: -0.1}\n  approval:")
    )
    return replace(example, definitions=definitions + "  retraining: {on: [drift], cooldown: 15h}\n")


def changed(row: Row) -> Row:
    """The same pump in another season."""
    pressure = min(20.0, max(0.0, 5 + WIDER * (row.features["pressure"] - 5)))
    return replace(
        row, features={**row.features, "pressure": pressure}, value=pressure + 4 * row.features["vibration"] > 7
    )


def of_model(stack: Stack, topic: Any, kind: Any, model: str) -> list[Any]:
    return [each for each in records_of(stack.settings, topic, kind) if each.model == model]


def shadowed(stack: Stack, model: str) -> bool:
    """Whether inference has loaded version 2 beside the champion."""
    statuses = of_model(stack, INFERENCE_STATUS, ModelStatus, model)
    return any((each.version, each.route, each.state) == (2, "shadow", "loaded") for each in statuses)


def promotions(stack: Stack, model: str) -> list[ChampionPromoted]:
    return [fact for fact in facts_of(stack.settings, model) if isinstance(fact, ChampionPromoted)]


def test_drift_leads_to_a_better_champion_and_slack_is_told(
    headrace: Headrace, stack: Stack, slack: Any, definitions: Path
) -> None:
    example = watched()
    model = example.model
    definitions.write_text(example.definitions)
    headrace.say("apply", "-f", definitions)
    producer = ExampleProducer(stack.settings, stack.urls["ingestion"], example)
    history, usual = example.rows[: example.history], example.rows[example.history : example.history + 36]
    producer.send(history, until=history[-1].occurred_at + LABEL_TIMEOUT)
    assert headrace.json("train", model, "--wait", timeout=PATIENCE)["version"] == 1
    again = headrace.json("train", model, "--wait", timeout=PATIENCE)
    assert (again["version"], again["message"].partition(":")[0]) == (1, "Nothing new"), "the same data, the same bytes"
    eventually(lambda: serves(stack.settings, model), within=PATIENCE, what="serving the first version")

    season = [changed(row) for row in example.rows[example.history + 36 :]]
    producer.send(usual)
    producer.send(season[:72], until=START + timedelta(hours=48) + CLOSED)
    eventually(lambda: shadowed(stack, model), within=PATIENCE, what="a second version in the shadow of the first")
    asked = [request.reason for request in of_model(stack, TRAINING_REQUESTS, TrainingRequest, model)]
    assert asked == ["manual", "manual", "drift"]
    assert any((each.kind, each.state) == ("drift", "firing") for each in of_model(stack, ALERTS, Alert, model))
    assert len(promotions(stack, model)) == 1

    producer.send(season[72:144], until=START + timedelta(hours=60) + LABEL_TIMEOUT + CLOSED)
    eventually(lambda: serves(stack.settings, model, 2), within=PATIENCE, what="serving the second version")
    last = promotions(stack, model)[-1]
    assert (last.version, last.previous, last.automatic) == (2, 1, True)
    assert "over 1 windows" in last.evidence[0]
    told = (f"{model} v1: drift", f"{model} v2 is champion")
    eventually(
        lambda: all(any(words in text for text in slack.texts) for words in told), within=PATIENCE, what="telling Slack"
    )

    back = headrace.json("models", "rollback", model, "--reason", "as they were", timeout=PATIENCE)
    assert (back["status"], back["serving"]["state"]) == ("accepted", "confirmed")
