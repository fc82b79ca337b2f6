"""The registry as a process, on a real Kafka and the Mongo-wire server: definitions, candidates, kill -9, projection."""

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import registry_models as samples

from schemas.envelope import BINARY, Envelope, encode_headers
from schemas.events.contract import Contract
from schemas.events.registry import (
    ApplyDefinitions,
    Approve,
    DefinitionRecord,
    Deployment,
    RegistryCommand,
    RegistryEvent,
    RegistryReply,
)
from schemas.events.training import CHUNK_BYTES, ArtifactManifest, Candidate
from schemas.topics import (
    DEFINITIONS,
    DEPLOYMENTS,
    MODELS_ARTIFACTS,
    MODELS_CANDIDATES,
    REGISTRY_COMMANDS,
    REGISTRY_EVENTS,
    REGISTRY_REPLIES,
    Topic,
)
from services.registry.audit import verify
from services.registry.evolution import fold
from shared.publishing import Publisher
from shared.records import Outgoing, message, read
from shared.settings import PlatformSettings
from shared.store import Store
from shared.tables import read_to_end
from shared.topic_admin import apply_topics

pytestmark = pytest.mark.kafka

C = TypeVar("C", bound=Contract)
ROOT = Path(__file__).parents[2]
DEADLINE = 60.0


class Registry:
    """Processes of the service."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.environment = os.environ | environment
        self.log = log
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "services.registry"],
                cwd=ROOT,
                env=self.environment | environment,
                stdout=log,
                stderr=log,
            )
        self.running.append(process)
        return process

    async def said(self, words: str, times: int) -> bool:
        return self.log.read_text(errors="replace").count(words) >= times

    async def probing(self) -> tuple[subprocess.Popen[bytes], psutil.Process] | None:
        """The instance that runs a probe, and the probe."""
        for process in self.running:
            for child in psutil.Process(process.pid).children():
                if "services.registry.probe" in child.cmdline():
                    return process, child
        return None

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
def registry(service_env: dict[str, str], tmp_path: Path) -> Iterator[Registry]:
    found = Registry(service_env | {"HEADRACE_KAFKA__SESSION_TIMEOUT": "6"}, tmp_path / "registry.log")
    yield found
    found.stop()
    print(found.log.read_text(errors="replace")[-6000:] if found.log.exists() else "never started")


@pytest.fixture
async def publisher(settings: PlatformSettings) -> AsyncIterator[Publisher]:
    await apply_topics(settings)
    async with Publisher(settings) as found:
        yield found


async def everything(settings: PlatformSettings, topic: Topic, cls: type[C]) -> list[C]:
    return [read(cls, record)[1] for record in await read_to_end(settings, topic)]


async def eventually(question: Callable[[], Awaitable[Any]], what: str) -> Any:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        answer = await question()
        if answer:
            return answer
        await asyncio.sleep(0.2)
    raise AssertionError(f"not within {DEADLINE:g} s: {what}")


async def send(
    publisher: Publisher, command_id: str, action: Any, model: str | None = "shade", actor: str = "ann"
) -> None:
    command = RegistryCommand(command_id=command_id, model=model, action=action, actor=actor, issued_at=samples.NOW)
    await publisher.publish(message(REGISTRY_COMMANDS, command, key=model or "definitions", source="test"))


async def reply_to(settings: PlatformSettings, command_id: str) -> RegistryReply:
    async def question() -> RegistryReply | None:
        replies = await everything(settings, REGISTRY_REPLIES, RegistryReply)
        return next((reply for reply in replies if reply.command_id == command_id), None)

    found: RegistryReply = await eventually(question, f"a reply to {command_id}")
    return found


async def offer(publisher: Publisher, content: bytes, *, artifact_first: bool = True, **changes: Any) -> Candidate:
    candidate = samples.candidate(content, **changes)
    announcement = message(MODELS_CANDIDATES, candidate, key=candidate.model, source="test")
    parts = artifact(content)
    for part in [*parts, announcement] if artifact_first else [announcement, *parts]:
        await publisher.publish(part)
    return candidate


def artifact(content: bytes) -> list[Outgoing]:
    digest = samples.digest(content)
    chunks = [content[place : place + CHUNK_BYTES] for place in range(0, len(content), CHUNK_BYTES)]
    envelope = Envelope(id="chunk", source="test", type="headrace.artifact-chunk.v1", content_type=BINARY)
    manifest = ArtifactManifest(digest=digest, size=max(1, len(content)), chunks=len(chunks))
    return [
        *(
            Outgoing(MODELS_ARTIFACTS, f"{digest}/{number}".encode(), chunk, encode_headers(envelope))
            for number, chunk in enumerate(chunks)
        ),
        message(MODELS_ARTIFACTS, manifest, key=f"{digest}/manifest", source="test"),
    ]


async def facts(settings: PlatformSettings, kind: str) -> list[RegistryEvent]:
    return [event for event in await everything(settings, REGISTRY_EVENTS, RegistryEvent) if event.fact.type == kind]


async def applied(settings: PlatformSettings, publisher: Publisher, **spec: Any) -> None:
    definitions = (samples.FEATURE_SET, samples.model_definition(**spec))
    await send(publisher, "apply", ApplyDefinitions(definitions=definitions), model=None)
    assert (await reply_to(settings, "apply")).status == "accepted"


async def test_a_candidate_is_probed_approved_and_deployed(
    settings: PlatformSettings, publisher: Publisher, registry: Registry
) -> None:
    registry.start()
    await applied(settings, publisher, approval={"mode": "manual"}, gates=[{"metric": "roc_auc", "min": 0.7}])
    kinds = [record.kind for record in await everything(settings, DEFINITIONS, DefinitionRecord)]
    assert kinds == ["FeatureSet", "Model"]

    content = samples.good_model()
    await offer(publisher, content, artifact_first=False)
    await eventually(lambda: facts(settings, "gates-evaluated"), "gates")
    assert await everything(settings, DEPLOYMENTS, Deployment) == []
    await send(publisher, "approve", Approve(version=1))
    await send(publisher, "approve", Approve(version=1))
    reply = await reply_to(settings, "approve")
    assert (reply.status, reply.code) == ("accepted", None)

    deployments = await everything(settings, DEPLOYMENTS, Deployment)
    assert [(d.champion.version, d.champion.digest) for d in deployments if d.champion] == [
        (1, samples.digest(content))
    ]
    await send(publisher, "last", Approve(version=1))
    assert (await reply_to(settings, "last")).status == "unchanged"
    events = await everything(settings, REGISTRY_EVENTS, RegistryEvent)
    assert verify(events) is None
    assert [event.fact.type for event in events if event.command_id == "approve"] == [
        "version-approved",
        "champion-promoted",
    ]


async def test_after_kill_9_amid_a_probe_a_standby_takes_over_and_nothing_is_lost_or_repeated(
    settings: PlatformSettings, publisher: Publisher, registry: Registry
) -> None:
    for _ in range(2):
        registry.start(HEADRACE_REGISTRY__PROBE_SECONDS="5")
    await eventually(lambda: registry.said("registry    started", 2), "two instances started")
    await applied(settings, publisher)
    await offer(publisher, samples.endless_model())
    active, probe = await eventually(registry.probing, "a running probe")
    active.kill()
    active.wait()
    killed = time.monotonic()
    good = samples.good_model()
    await offer(publisher, good)
    await offer(publisher, good)
    await eventually(lambda: gone(probe), "the probe of the killed instance gone with it")

    await eventually(lambda: facts(settings, "champion-promoted"), "the good version live")
    print(f"recovered {time.monotonic() - killed:.1f} s after kill -9")
    probes = [(event.fact.version, event.fact.code) for event in await facts(settings, "version-probed")]  # type: ignore[union-attr]
    assert sorted(probes) == [(1, "timeout"), (2, None)]
    events = await everything(settings, REGISTRY_EVENTS, RegistryEvent)
    assert verify(events) is None
    assert len(await facts(settings, "candidate-registered")) == 2
    assert [process.poll() is None for process in registry.running].count(True) == 1


async def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


async def test_a_malicious_model_file_ends_in_quarantine_and_the_service_goes_on(
    settings: PlatformSettings, publisher: Publisher, registry: Registry
) -> None:
    process = registry.start(HEADRACE_REGISTRY__PROBE_SECONDS="2")
    await applied(settings, publisher)
    evil = {
        "pickle": pickle.dumps({"model": 1}),
        "external": samples.external_model(),
        "huge": samples.huge_model(),
        "endless": samples.endless_model(),
        "nan": samples.nan_model(),
        "empty": b"",
    }
    for name, content in evil.items():
        await offer(publisher, content, candidate_id=name)
    await eventually(lambda: six(settings), "six probes")
    codes = {event.fact.version: event.fact.code for event in await facts(settings, "version-probed")}  # type: ignore[union-attr]
    expected = ["not_onnx", "external_data", "memory", "timeout", "nan_output", "size_mismatch"]
    assert [codes[number] for number in sorted(codes)] == expected
    assert await everything(settings, DEPLOYMENTS, Deployment) == []
    assert process.poll() is None


async def six(settings: PlatformSettings) -> bool:
    return len(await facts(settings, "version-probed")) == 6


async def test_decisions_go_on_while_mongo_is_away(
    settings: PlatformSettings, publisher: Publisher, registry: Registry
) -> None:
    process = registry.start(HEADRACE_MONGO__URI="mongodb://127.0.0.1:1")
    await applied(settings, publisher)
    await offer(publisher, samples.good_model())
    await eventually(lambda: facts(settings, "champion-promoted"), "version 1 live")
    assert process.poll() is None


async def test_the_projection_comes_back_equal_after_it_was_dropped(
    settings: PlatformSettings, publisher: Publisher, registry: Registry
) -> None:
    first = registry.start()
    await applied(settings, publisher)
    await offer(publisher, samples.good_model())
    await eventually(lambda: facts(settings, "champion-promoted"), "version 1 live")
    async with Store(settings.mongo, "registry") as store:
        before = await eventually(lambda: projected(settings, store), "the projection")
        first.send_signal(signal.SIGTERM)
        assert first.wait(30) == 0
        await store.drop()
        assert await documents(store) == {}
        registry.start()
        assert await eventually(lambda: projected(settings, store), "the projection rebuilt") == before


async def projected(settings: PlatformSettings, store: Store) -> dict[str, Any] | None:
    records = await read_to_end(settings, REGISTRY_EVENTS)
    found = await documents(store)
    state = fold(read(RegistryEvent, record)[1] for record in records)
    done = [document for key, document in found.items() if key.startswith("projection_offsets/")]
    complete = bool(done) and done[0]["applied_offset"] == records[-1].offset
    return found if complete and sum(key.startswith("history/") for key in found) == state.sequence else None


async def documents(store: Store) -> dict[str, Any]:
    return {
        f"{collection}/{document['_id']}": document
        for collection in ("projection_offsets", "models", "definitions", "history")  # the offset is written last
        async for document in store.find(collection)
    }
