"""The training service as a process, on a real Kafka: data to candidate, retraining, kill -9 in the middle of a run."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime
import psutil
import pytest
from training_scene import end, feature_set, model, stream

from schemas.definitions import FeatureSet, Model
from schemas.envelope import header
from schemas.events.contract import Contract, decode
from schemas.events.monitoring import Alert, WindowBounds
from schemas.events.registry import DefinitionRecord
from schemas.events.training import (
    ArtifactManifest,
    Candidate,
    DatasetMaterialized,
    RunCompleted,
    RunFailed,
    RunStarted,
    TrainingProgress,
    TrainingRequest,
)
from schemas.identities import artifact_digest, derived_id, run_id
from schemas.model_inputs import assemble
from schemas.topics import (
    ALERTS,
    DEFINITIONS,
    EVENTS_VALIDATED,
    LABELS_VALIDATED,
    MODELS_ARTIFACTS,
    MODELS_CANDIDATES,
    TRAINING_EVENTS,
    TRAINING_REQUESTS,
    Topic,
    dead_letters,
)
from shared.group_offsets import resume_points
from shared.publishing import Publisher
from shared.records import Outgoing, message, read, topic_name
from shared.settings import PlatformSettings
from shared.tables import read_to_end
from shared.topic_admin import apply_topics

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(420)]

C = TypeVar("C", bound=Contract)
ROOT = Path(__file__).parents[2]
DEADLINE = 150.0
NOW = datetime(2024, 6, 1, tzinfo=UTC)
FAST = {"n_estimators": 10, "max_depth": 4}


class Training:
    """Processes of the service."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.environment = os.environ | environment
        self.log = log
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "services.training"]
            process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        self.running.append(process)
        return process

    def stop(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.running:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture
def training(service_env: dict[str, str], tmp_path: Path) -> Iterator[Training]:
    quick = {
        "HEADRACE_TRAINING__SETTLE": "2",
        "HEADRACE_TRAINING__DEFINITION_WAIT": "2",
        "HEADRACE_KAFKA__SESSION_TIMEOUT": "6",
    }
    found = Training(service_env | quick, tmp_path / "training.log")
    yield found
    found.stop()
    print(found.log.read_text(errors="replace")[-6000:] if found.log.exists() else "never started")


@pytest.fixture
async def publisher(settings: PlatformSettings) -> AsyncIterator[Publisher]:
    await apply_topics(settings)
    async with Publisher(settings) as found:
        yield found


async def everything(settings: PlatformSettings, topic: Topic, cls: type[C]) -> list[C]:
    records = await read_to_end(settings, topic)
    return [read(cls, record)[1] for record in records if header(record.headers, "ce_type") == cls.ce_type]


async def eventually(question: Callable[[], Awaitable[Any]], what: str) -> Any:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        answer = await question()
        if answer:
            return answer
        await asyncio.sleep(0.2)
    raise AssertionError(f"not within {DEADLINE:g} s: {what}")


async def outcome(settings: PlatformSettings, request_id: str) -> RunCompleted | RunFailed:
    async def question() -> RunCompleted | RunFailed | None:
        ends = [
            *await everything(settings, TRAINING_EVENTS, RunCompleted),
            *await everything(settings, TRAINING_EVENTS, RunFailed),
        ]
        return next((each for each in ends if each.request_id == request_id), None)

    found: RunCompleted | RunFailed = await eventually(question, f"the outcome of {request_id}")
    return found


async def runs_done(settings: PlatformSettings, offset: int) -> bool:
    """Whether nothing below ``offset`` waits for a run any more."""
    points = await resume_points(settings, "training.runs", [TRAINING_REQUESTS], 0)
    return points[topic_name(settings, TRAINING_REQUESTS)] >= offset


async def apply(publisher: Publisher, *definitions: FeatureSet | Model) -> None:
    for definition in definitions:
        major = definition.major if isinstance(definition, FeatureSet) else 1
        record = DefinitionRecord(
            kind=definition.kind,
            name=definition.metadata.name,
            major=major,
            revision=1,
            definition=definition.model_dump(mode="json"),
        )
        await publisher.publish(message(DEFINITIONS, record, key=definition.topic_key, source="test"))


async def fill(publisher: Publisher, kind: str = "binary") -> None:
    topics = {topic.name: topic for topic in (EVENTS_VALIDATED, LABELS_VALIDATED)}
    records = [
        Outgoing(topics[name], entry.key, entry.value, entry.headers, entry.partition) for name, entry in stream(kind)
    ]
    for start in range(0, len(records), 200):
        await publisher.publish(*records[start : start + 200])


def request(request_id: str, model_name: str = "meters-binary", **changes: Any) -> TrainingRequest:
    content = {"reason": "manual", "requested_by": "ann", "requested_at": NOW, **changes}
    return TrainingRequest(request_id=request_id, model=model_name, **content)


async def ask(publisher: Publisher, body: TrainingRequest) -> None:
    await publisher.publish(message(TRAINING_REQUESTS, body, key=body.model, source="test", id=body.request_id))


async def artifact(settings: PlatformSettings, digest: str) -> bytes:
    """What a consumer puts together from the chunks before the manifest."""
    records = {(record.key or b"").decode(): record for record in await read_to_end(settings, MODELS_ARTIFACTS)}
    manifest = decode(ArtifactManifest, records[f"{digest}/manifest"].value or b"")
    content = b"".join(records[f"{digest}/{number}"].value or b"" for number in range(manifest.chunks))
    assert artifact_digest(content) == manifest.digest == digest
    assert len(content) == manifest.size
    return content


async def test_a_request_becomes_a_candidate_whose_artifact_scores_its_golden_rows(
    settings: PlatformSettings, publisher: Publisher, training: Training
) -> None:
    await apply(publisher, feature_set(), model(estimator="RandomForestClassifier", parameters=FAST))
    await fill(publisher)
    await ask(publisher, request("first"))
    training.start()
    completed = await outcome(settings, "first")
    assert isinstance(completed, RunCompleted), completed
    (candidate,) = await everything(settings, MODELS_CANDIDATES, Candidate)
    assert candidate.digest == completed.digest
    assert candidate.lineage.run_id == run_id("first")
    content = await artifact(settings, candidate.digest)
    session = onnxruntime.InferenceSession(content)
    assert candidate.outputs.probabilities is not None
    (scores,) = session.run(
        [candidate.outputs.probabilities], assemble(candidate.inputs, feature_set(), candidate.golden)
    )
    assert np.isfinite(scores).all()
    assert scores.shape == (len(candidate.golden), 2)
    (dataset,) = await everything(settings, TRAINING_EVENTS, DatasetMaterialized)
    assert dataset.dataset.labelled == 400
    assert dataset.dataset.label_cutoff == end()
    stages = [progress.stage for progress in await everything(settings, TRAINING_EVENTS, TrainingProgress)]
    assert {"selecting", "fitting", "converting", "evaluating"} <= set(stages)


async def test_requests_that_cannot_succeed_fail_with_a_reason_and_the_next_one_is_served(
    settings: PlatformSettings, publisher: Publisher, training: Training
) -> None:
    definition = model("regression", "Ridge")
    await apply(publisher, feature_set(), definition)
    await fill(publisher, "regression")
    training.start()
    await publisher.publish(Outgoing(TRAINING_REQUESTS, b"x", b"{", ()))
    await ask(publisher, request("nobody", "strangers"))
    await outcome(settings, "nobody")
    await eventually(lambda: runs_done(settings, 2), "the failed run counts as done")
    await ask(publisher, request("wrong", "meters-regression", overrides={"sharpness": 3}))
    await ask(publisher, request("early", "meters-regression", as_of=end() - timedelta(hours=390)))
    await ask(publisher, request("good", "meters-regression"))
    codes = {name: await outcome(settings, name) for name in ("nobody", "wrong", "early", "good")}
    assert {name: getattr(each, "code", "completed") for name, each in codes.items()} == {
        "nobody": "unknown_model",
        "wrong": "bad_parameter",
        "early": "too_few_rows",
        "good": "completed",
    }
    letters = await read_to_end(settings, dead_letters("training"))
    assert len(letters) == 1


async def test_a_run_killed_with_its_service_is_repeated_and_published_once(
    settings: PlatformSettings, publisher: Publisher, training: Training
) -> None:
    slow = {"n_estimators": 250, "max_depth": 6}
    await apply(publisher, feature_set(), model(estimator="RandomForestClassifier", parameters=slow))
    await fill(publisher)
    await ask(publisher, request("first", as_of=end()))
    process = training.start()

    async def running() -> list[TrainingProgress]:
        return await everything(settings, TRAINING_EVENTS, TrainingProgress)

    await eventually(running, "the worker began")
    workers = psutil.Process(process.pid).children()
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []  # the worker does not outlive its service
    assert await everything(settings, TRAINING_EVENTS, RunCompleted) == []
    training.start()
    assert isinstance(await outcome(settings, "first"), RunCompleted)
    assert len(await everything(settings, TRAINING_EVENTS, RunStarted)) == 1
    datasets = await everything(settings, TRAINING_EVENTS, DatasetMaterialized)
    assert len({each.dataset.version for each in datasets}) == 1
    second = training.running[-1]
    second.send_signal(signal.SIGTERM)
    assert second.wait(30) == 0
    training.start()
    await ask(publisher, request("second", as_of=end()))
    await outcome(settings, "second")
    candidates = await everything(settings, MODELS_CANDIDATES, Candidate)
    assert [each.lineage.request_id for each in candidates] == ["first", "second"]
    assert len({each.digest for each in candidates}) == 1  # the same data set version and seed


async def test_an_alert_that_stands_becomes_one_request_however_often_the_service_starts(
    settings: PlatformSettings, publisher: Publisher, training: Training
) -> None:
    definition = model(
        estimator="RandomForestClassifier", parameters=FAST, retraining={"on": ["drift"], "cooldown": "1h"}
    )
    await apply(publisher, feature_set(), definition)
    await fill(publisher)
    alert = Alert(
        fingerprint="f1",
        model="meters-binary",
        version=1,
        kind="drift",
        severity="warn",
        state="firing",
        episode="e1",
        summary="load moved",
        evidence=(),
        window=WindowBounds(start=end() - timedelta(days=1), end=end() - timedelta(hours=3)),
        started_at=end(),
        updated_at=end(),
    )
    await publisher.publish(message(ALERTS, alert, key="f1", source="test"))
    process = training.start()
    made = derived_id("retrain", "f1", "e1")
    assert isinstance(await outcome(settings, made), RunCompleted)
    process.kill()
    process.wait()
    training.start()
    await publisher.publish(message(ALERTS, alert, key="f1", source="test"))
    await ask(publisher, request("later"))
    await outcome(settings, "later")
    requests = await everything(settings, TRAINING_REQUESTS, TrainingRequest)
    assert [each.request_id for each in requests] == [made, "later"]
    assert requests[0].reason == "drift"
    assert requests[0].as_of == end()
    assert len(await everything(settings, MODELS_CANDIDATES, Candidate)) == 2


async def test_a_lost_store_is_rebuilt_from_the_topics_to_the_same_data_set(
    settings: PlatformSettings, publisher: Publisher, training: Training, tmp_path: Path
) -> None:
    await apply(publisher, feature_set(), model(estimator="RandomForestClassifier", parameters=FAST))
    await fill(publisher)
    process = training.start()
    await ask(publisher, request("first", as_of=end()))
    await outcome(settings, "first")
    process.kill()
    process.wait()
    segments = tmp_path / "training" / "segments"
    assert (segments / "store.json").exists()
    for file in segments.iterdir():
        file.unlink()
    training.start()
    await ask(publisher, request("second", as_of=end()))
    assert isinstance(await outcome(settings, "second"), RunCompleted)
    datasets = await everything(settings, TRAINING_EVENTS, DatasetMaterialized)
    assert len(datasets) == 2
    assert len({each.dataset.version for each in datasets}) == 1
