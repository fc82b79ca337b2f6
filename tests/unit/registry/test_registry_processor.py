"""Records in, records out: what the one active instance publishes in its transaction."""

import copy
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import registry_models as samples
from pydantic import BaseModel
from registry_play import look, started, window

from schemas.envelope import BINARY, Envelope, encode_headers, header
from schemas.events.contract import decode
from schemas.events.monitoring import ChannelResult, ClosedWindow
from schemas.events.registry import (
    ApplyDefinitions,
    ChampionPromoted,
    Promote,
    RegistryCommand,
    RegistryEvent,
    RegistryNudge,
    RegistryReply,
)
from schemas.events.training import ArtifactManifest
from schemas.topics import (
    METRICS_WINDOWS,
    MODELS_ARTIFACTS,
    MODELS_CANDIDATES,
    REGISTRY_COMMANDS,
    REGISTRY_REPLIES,
    Topic,
)
from services.registry.adapters.artifacts import Assembly
from services.registry.answers import Answers
from services.registry.authority import Authority
from services.registry.candidates import ProbeResult
from services.registry.model_file import ModelRefusedError
from services.registry.probing import ProbeRequest
from services.registry.processor import RegistryProcessor
from services.registry.promotion import QualityWindows
from services.registry.state import State
from shared.clock import FixedClock
from shared.records import Outgoing, StoredRecord, TopicNames, message


class InstantProbes:
    """Every probe passes at once."""

    def __init__(self) -> None:
        self.results: list[ProbeResult] = []
        self.manifests: list[str] = []

    def request(self, request: ProbeRequest) -> None:
        self.results.append(ProbeResult(request.model, request.version, passed=True, latency_ms=1.0))

    def arrived(self, digest: str) -> None:
        self.manifests.append(digest)

    def finished(self) -> Sequence[ProbeResult]:
        results, self.results = self.results, []
        return results

    def close(self) -> None:
        pass


@pytest.fixture
def processor() -> RegistryProcessor:
    return over(State(), QualityWindows())


def over(state: State, windows: QualityWindows) -> RegistryProcessor:
    return RegistryProcessor(
        state,
        answers=Answers(),
        windows=windows,
        probes=InstantProbes(),
        names=TopicNames("t."),
        clock=FixedClock(samples.NOW),
        authority=Authority(),
    )


LATER = int((samples.NOW + timedelta(days=1)).timestamp() * 1000)  # than every rollout here


def stored(item: Outgoing) -> StoredRecord:
    return StoredRecord("t." + item.topic.name, 0, 7, LATER, item.key, item.value, item.headers)


def incoming(topic: Topic, body: BaseModel, key: str = "shade") -> StoredRecord:
    return stored(message(topic, body, key=key, source="test"))


def command(action: Any, command_id: str = "c-1", model: str | None = "shade") -> StoredRecord:
    body = RegistryCommand(command_id=command_id, model=model, action=action, actor="ann", issued_at=samples.NOW)
    return incoming(REGISTRY_COMMANDS, body)


def topics(outgoing: Sequence[Outgoing]) -> list[str]:
    return [item.topic.name for item in outgoing]


APPLY = ApplyDefinitions(definitions=(samples.FEATURE_SET, samples.model_definition()))


def test_events_definitions_and_the_reply_go_out_together(processor: RegistryProcessor) -> None:
    outgoing = processor.process([command(APPLY, model=None)])
    expected = ["registry.events", "definitions", "registry.events", "definitions", "registry.replies"]
    assert topics(outgoing) == expected
    assert [item.key for item in outgoing if item.topic.name == "definitions"] == [
        b"FeatureSet/points/1",
        b"Model/shade/1",
    ]


def test_a_candidate_leads_to_a_deployment_once_its_probe_ended(processor: RegistryProcessor) -> None:
    processor.process([command(APPLY, model=None)])
    outgoing = processor.process([incoming(MODELS_CANDIDATES, samples.candidate())])
    assert topics(outgoing) == ["registry.events"] * 5 + ["deployments"]
    assert topics(processor.process([incoming(REGISTRY_COMMANDS, RegistryNudge(), "registry")])) == []


def test_a_repeated_command_is_answered_again_and_does_nothing(processor: RegistryProcessor) -> None:
    first = processor.process([command(APPLY, model=None)])[-1]
    again = processor.process([command(APPLY, model=None)])
    assert [(item.topic, item.key, item.value) for item in again] == [(REGISTRY_REPLIES, first.key, first.value)]


def test_a_command_that_cannot_be_read_is_answered_if_its_id_can_be(processor: RegistryProcessor) -> None:
    body = {"command_id": "c-9", "model": "shade", "action": {"action": "promote", "version": "s3://bucket/model"}}
    template = command(Promote(version=1))
    bad = StoredRecord(template.topic, 0, 8, 0, template.key, msgspec.json.encode(body), template.headers)
    (answer,) = processor.process([bad])
    reply = decode(RegistryReply, answer.value or b"")
    assert (reply.command_id, reply.status, reply.code) == ("c-9", "refused", "invalid")
    assert reply.problems


def test_definitions_that_no_event_could_hold_are_refused_and_the_next_command_is_carried_out(
    processor: RegistryProcessor,
) -> None:
    large = copy.deepcopy(samples.FEATURE_SET)
    large["spec"]["features"] += [
        {"name": f"f{number}", "dtype": "bool", "description": "x" * 480} for number in range(1900)
    ]
    (answer,) = processor.process([command(ApplyDefinitions(definitions=(large,)), model=None)])
    reply = decode(RegistryReply, answer.value or b"")
    assert (reply.status, reply.code) == ("refused", "invalid")
    assert "registry.events of FeatureSet/points/1 would take" in reply.message
    again = command(APPLY, "c-2", model=None)
    assert topics(processor.process([again]))[-1] == "registry.replies"
    assert processor.state.sequence == 2


def test_a_command_for_an_endless_name_gets_an_answer_that_fits_its_topic(processor: RegistryProcessor) -> None:
    (answer,) = processor.process([command(Promote(version=1), model="x" * 900_000)])
    assert decode(RegistryReply, answer.value or b"").code == "invalid"
    assert len(answer.value or b"") < 20_000


def test_a_candidate_whose_event_would_be_too_long_is_a_dead_letter_alone(processor: RegistryProcessor) -> None:
    processor.process([command(APPLY, model=None)])
    metrics: dict[str, float | None] = {f"m{number}": 1e15 for number in range(46_000)}
    forged = incoming(MODELS_CANDIDATES, samples.candidate(metrics=metrics))
    short = (forged.value or b"").replace(b"1000000000000000.0", b"1e15")
    record = StoredRecord(forged.topic, 0, 7, 0, forged.key, short, forged.headers)
    assert len(short) < MODELS_CANDIDATES.max_body_bytes
    (letter,) = processor.process([record])
    assert (letter.topic.name, header(letter.headers, "ce_code")) == ("registry.dead-letters", "output_too_large")
    assert topics(processor.process([incoming(MODELS_CANDIDATES, samples.candidate())]))[-1] == "deployments"


def test_a_message_on_a_topic_where_it_does_not_belong_is_a_dead_letter(processor: RegistryProcessor) -> None:
    stray = message(MODELS_CANDIDATES, samples.candidate(), key="shade", source="test")
    record = StoredRecord("t.registry.commands", 0, 7, 0, stray.key, stray.value, stray.headers)
    (letter,) = processor.process([record])
    assert (letter.topic.name, header(letter.headers, "ce_code")) == ("registry.dead-letters", "unknown_type")


def test_windows_that_were_known_before_they_were_judged_are_judged_after_a_restart() -> None:
    play = started(rollout={"strategy": "shadow", "minWindows": 1})
    play.train(b"one")
    play.train(b"two")
    windows = QualityWindows()  # read to the topic's end, beyond what the instance before has committed
    known = [window(version, samples.NOW, roc_auc=0.8) for version in (1, 2)]
    for each in known:
        windows.observe(each)
    restarted = over(play.state, windows)
    outgoing = restarted.process([incoming(METRICS_WINDOWS, each) for each in known])
    assert topics(outgoing) == ["registry.events", "deployments"]
    champion = restarted.state.model("shade").champion
    assert champion is not None
    assert champion.number == 2


def test_a_restart_decides_by_the_look_that_decided_without_one() -> None:
    """The instance before ended before its decision was committed; the next has read all windows to the topic's end."""
    play = started(rollout={"strategy": "shadow", "minWindows": 3})
    play.train(b"one")
    play.train(b"two")
    bounds = [(None, None), (None, None), (None, None), (-0.05, 0.2), (0.01, 0.2), (-0.3, -0.1)]
    stream = []
    for number, (lower, upper) in enumerate(bounds, 1):
        day = samples.NOW + timedelta(days=number)
        stream.append(window(1, day, roc_auc=0.8))
        stream.append(window(2, day, roc_auc=0.8, comparisons=(look(number, lower, upper),)))
    facts = []
    for known in (0, 7, len(stream)):
        windows = QualityWindows()
        for each in stream[:known]:
            windows.observe(each)
        outgoing = over(play.state, windows).process([incoming(METRICS_WINDOWS, each) for each in stream])
        facts.append(
            [decode(RegistryEvent, item.value or b"").fact for item in outgoing if item.topic.name == "registry.events"]
        )
    assert facts[0] == facts[1] == facts[2]
    (promoted,) = facts[0]
    assert isinstance(promoted, ChampionPromoted)
    assert "over 5 windows" in promoted.evidence[0]


def test_windows_of_an_earlier_rollout_are_no_evidence_whether_they_are_read_back_or_not() -> None:
    play = started(rollout={"strategy": "shadow", "minWindows": 3})
    play.train(b"one")
    play.train(b"two")
    earlier, days = QualityWindows(), [samples.NOW + timedelta(days=number) for number in range(20)]
    for number, day in enumerate(days[:19], 1):
        for each in (window(1, day, roc_auc=0.8), window(2, day, roc_auc=0.1, comparisons=(look(number, -0.9, -0.5),))):
            earlier.observe(each, samples.NOW - timedelta(days=1))  # before the challenger was started
    now = [window(1, days[19], roc_auc=0.8), window(2, days[19], roc_auc=0.8)]
    for windows in (QualityWindows(), earlier):
        assert over(play.state, windows).process([incoming(METRICS_WINDOWS, each) for each in now]) == []


@pytest.mark.parametrize("needed", [2, 3])
@pytest.mark.parametrize("estimated", [0.01, 0.99])
@pytest.mark.parametrize(
    ("measured", "decision"), [(0.9, ["champion-promoted"]), (0.5, ["challenger-stopped"]), (None, [])]
)
def test_what_is_only_estimated_promotes_nobody_and_ends_nobody(
    needed: int, estimated: float, measured: float | None, decision: list[str]
) -> None:
    """The champion is measured at 0.7; the challenger's estimates say the best or the worst in both lanes, before labels and after."""
    play = started(rollout={"strategy": "shadow", "minWindows": needed})
    play.train(b"one")
    play.train(b"two")
    stream = []
    for number in range(4 * needed - 1):  # one more and a challenger without evidence ends as undecided
        day = samples.NOW + timedelta(days=number)
        for version, value, guess in ((1, 0.7, 0.5), (2, measured, estimated)):
            known = {} if value is None else {"roc_auc": value}
            before = with_estimates(window(version, day, lane="performance"), guess)
            after = with_estimates(window(version, day, **known), guess)
            stream += [before, after, before.model_copy(update={"revision": 2})]
    outgoing = over(play.state, QualityWindows()).process([incoming(METRICS_WINDOWS, each) for each in stream])
    events = [decode(RegistryEvent, item.value or b"") for item in outgoing if item.topic.name == "registry.events"]
    assert [event.fact.type for event in events] == decision


def with_estimates(told: ClosedWindow, value: float) -> ClosedWindow:
    """With every row that monitoring's estimates have, in whichever lane."""
    rows = (
        ChannelResult(
            channel="estimate:roc_auc", statistic="roc_auc", value=value, low=value - 0.01, high=value + 0.01
        ),
        ChannelResult(channel="estimate_interval:roc_auc", statistic="past_errors", value=20.0),
        ChannelResult(channel="estimate:calibration", statistic="labels", value=5000.0),
        ChannelResult(channel="estimate_error:roc_auc", statistic="roc_auc", value=value),
    )
    return told.model_copy(update={"channels": (*told.channels, *rows)})


def test_tombstones_and_chunks_are_passed_over(processor: RegistryProcessor) -> None:
    chunk = chunk_of(b"bytes", 0, b"bytes")
    assert processor.process([chunk, StoredRecord("t.alerts", 0, 3, 0, b"key", None)]) == []


def chunk_of(content: bytes, number: int, part: bytes) -> StoredRecord:
    envelope = Envelope(id="x", source="test", type="headrace.artifact-chunk.v1", content_type=BINARY)
    key = f"{samples.digest(content)}/{number}".encode()
    return StoredRecord("t.models.artifacts", 0, number, 0, key, part, encode_headers(envelope))


def manifest_of(content: bytes, chunks: int, size: int | None = None) -> StoredRecord:
    digest = samples.digest(content)
    body = ArtifactManifest(digest=digest, size=len(content) if size is None else size, chunks=chunks)
    return incoming(MODELS_ARTIFACTS, body, f"{digest}/manifest")


def assembled(path: Path, content: bytes, *records: StoredRecord) -> bytes | None:
    assembly = Assembly(samples.digest(content), len(content), path / "spool")
    assembly.take(records)
    return (path / "out").read_bytes() if assembly.finish(path / "out") else None


def test_an_artifact_is_put_together_whatever_the_order_and_repetitions(tmp_path: Path) -> None:
    parts = [chunk_of(b"abcdef", 1, b"def"), chunk_of(b"abcdef", 0, b"x"), chunk_of(b"abcdef", 0, b"abc")]
    assert assembled(tmp_path, b"abcdef", *parts) is None
    assert assembled(tmp_path, b"abcdef", *parts, manifest_of(b"abcdef", 2)) == b"abcdef"
    assert assembled(tmp_path, b"abcdef", *parts[:1], manifest_of(b"abcdef", 2)) is None


def test_an_artifact_with_other_bytes_or_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefusedError) as error:
        assembled(tmp_path, b"abc", chunk_of(b"abc", 0, b"abd"), manifest_of(b"abc", 1))
    assert error.value.code == "digest_mismatch"
    with pytest.raises(ModelRefusedError) as error:
        assembled(tmp_path, b"abc", chunk_of(b"abc", 0, b"abcd"), manifest_of(b"abc", 1))
    assert error.value.code == "size_mismatch"


def test_a_replayed_candidate_is_taken_as_if_it_stood_on_its_own_topic(processor: RegistryProcessor) -> None:
    definitions = (samples.FEATURE_SET, samples.model_definition())
    apply = RegistryCommand(
        command_id="c1", action=ApplyDefinitions(definitions=definitions), actor="ann", issued_at=samples.NOW
    )
    processor.process([stored(message(REGISTRY_COMMANDS, apply, key="definitions", source="test"))])
    sent = message(MODELS_CANDIDATES, samples.candidate(b"model"), key="shade", source="test")
    replayed = StoredRecord("t.registry.retry", 0, 0, 0, sent.key, sent.value, sent.headers)
    elsewhere = StoredRecord("t.alerts", 0, 0, 0, sent.key, sent.value, sent.headers)
    (letter,) = processor.process([elsewhere])
    assert letter.topic.name == "registry.dead-letters"
    processor.process([replayed])
    assert list(processor.state.model("shade").versions) == [1]
