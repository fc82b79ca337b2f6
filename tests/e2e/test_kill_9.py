"""Every service dies by kill -9 in the middle of its work; the accounts say that nothing was lost and nothing done twice."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from example_models import LABEL_TIMEOUT, WINDOW, Row, pumps
from example_producer import ExampleProducer, balance, facts_of, records_of, serves
from headrace_command import ARGV, ROOT, Headrace, eventually

from deploy.local.service import answers_ok
from deploy.local.stack import Stack
from schemas.events.inference import Prediction
from schemas.events.registry import CandidateRegistered
from schemas.events.training import RunStarted
from schemas.topics import PREDICTIONS, SERVICES, TRAINING_EVENTS

pytestmark = pytest.mark.kafka


def ready(stack: Stack) -> bool:
    """Whether every service answers that it is."""
    return all(answers_ok(f"{url}/health/ready") for url in stack.urls.values())


def test_every_service_may_die_by_kill_9_without_losing_or_repeating_anything(
    headrace: Headrace, stack: Stack, definitions: Path
) -> None:
    example = pumps(windows=14)
    definitions.write_text(example.definitions)
    headrace.say("apply", "-f", definitions)
    producer = ExampleProducer(stack.settings, stack.urls["ingestion"], example)
    history, stream = example.rows[: example.history], example.rows[example.history :]
    producer.send(history, until=history[-1].occurred_at + LABEL_TIMEOUT)
    headrace.say("train", example.model, "--wait")
    eventually(lambda: serves(stack.settings, example.model), within=60, what="serving the first version")
    before = stack.supervisor.restarts()

    size = len(stream) // len(SERVICES)
    for number, service in enumerate(SERVICES):
        part = stream[number * size : (number + 1) * size]
        producer.send(part[: size // 2], until=part[0].occurred_at)
        stack.supervisor.kill(service)
        producer.send(part[size // 2 :], until=part[-1].occurred_at)
    producer.send(stream[len(SERVICES) * size :])
    producer.tick(stream[-1].occurred_at + WINDOW + LABEL_TIMEOUT)
    eventually(lambda: ready(stack), within=60, what="every service ready again")

    sheet = balance(stack.settings)
    restarts = {service: count - before[service] for service, count in stack.supervisor.restarts().items()}
    assert all(restarts[service] >= 1 for service in SERVICES), restarts
    assert sheet.events.balanced, sheet.document()
    assert sheet.labels.balanced, sheet.document()
    served = sheet.models[example.model]
    assert served.balanced, sheet.document()
    assert served.repeated == 0
    assert served.ok == len(stream)
    assert served.failed == 0
    _each_once(stack, example.model, stream)


def _each_once(stack: Stack, model: str, rows: Sequence[Row]) -> None:
    predictions = [each for each in records_of(stack.settings, PREDICTIONS, Prediction) if each.model == model]
    assert sorted(each.event_id for each in predictions) == sorted(row.event_id for row in rows)
    assert len({each.prediction_id for each in predictions}) == len(predictions)


def test_a_training_run_whose_service_dies_ends_with_exactly_one_version(
    headrace: Headrace, stack: Stack, definitions: Path
) -> None:
    example = pumps(windows=0)
    definitions.write_text(example.definitions)
    headrace.say("apply", "-f", definitions)
    producer = ExampleProducer(stack.settings, stack.urls["ingestion"], example)
    producer.send(example.rows, until=example.rows[-1].occurred_at + LABEL_TIMEOUT)

    argv = [*ARGV, "train", example.model, "--wait", "--json"]
    asking = subprocess.Popen(argv, cwd=ROOT, env=headrace.environment(), stdout=subprocess.PIPE, text=True)
    try:
        eventually(
            lambda: [
                each for each in records_of(stack.settings, TRAINING_EVENTS, RunStarted) if each.model == example.model
            ],
            within=60,
            what="the run's start",
        )
        stack.supervisor.kill("training")
        answer, _ = asking.communicate(timeout=120)
    finally:
        asking.kill()
        asking.wait()

    assert asking.returncode == 0
    assert json.loads(answer)["version"] == 1
    eventually(lambda: serves(stack.settings, example.model), within=60, what="serving")
    registered = [fact for fact in facts_of(stack.settings, example.model) if isinstance(fact, CandidateRegistered)]
    assert [fact.version for fact in registered] == [1]
