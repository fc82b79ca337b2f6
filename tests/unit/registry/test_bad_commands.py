"""Every bad command of the catalogue: who asked gets an answer, nothing happens, and the next command is carried out."""

from collections.abc import Sequence

import pytest
import registry_models as samples
from bad_input.commands import COMMANDS, FURTHER, LIVE, QUARANTINED, WAITING, BadCommand
from registry_play import Play, started

from schemas.envelope import Envelope, encode_headers, header
from schemas.events.contract import decode
from schemas.events.registry import Approve, Promote, RegistryCommand, RegistryReply
from schemas.events.training import Lineage
from schemas.topics import REGISTRY_EVENTS
from services.registry.answers import Answers
from services.registry.authority import Authority
from services.registry.candidates import ProbeResult
from services.registry.probing import ProbeRequest
from services.registry.processor import RegistryProcessor
from services.registry.promotion import QualityWindows
from services.registry.state import State
from shared.clock import FixedClock
from shared.records import Outgoing, StoredRecord, TopicNames


class NoProbes:
    """Nothing is probed here."""

    def request(self, request: ProbeRequest) -> None:
        raise AssertionError(request)

    def arrived(self, digest: str) -> None:
        raise AssertionError(digest)

    def finished(self) -> Sequence[ProbeResult]:
        return ()

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def state() -> State:
    """What the catalogue says of ``shade``."""
    play: Play = started(approval={"mode": "manual"})
    assert play.train(b"one") == LIVE
    play.command(Approve(version=LIVE), actor="bob")
    play.offer(b"two")
    play.probe(QUARANTINED, code="crash")
    assert play.train(b"three", lineage=Lineage(source="imported", imported_by="ann")) == WAITING
    assert play.train(b"four") == FURTHER
    assert play.champion == LIVE
    return play.state


@pytest.fixture
def processor(state: State) -> RegistryProcessor:
    return RegistryProcessor(
        state,
        answers=Answers(),
        windows=QualityWindows(),
        probes=NoProbes(),
        names=TopicNames("t."),
        clock=FixedClock(samples.NOW),
        authority=Authority(),
    )


def record(payload: bytes) -> StoredRecord:
    envelope = Envelope(id="x", source="test", type=RegistryCommand.ce_type)
    return StoredRecord("t.registry.commands", 0, 7, 0, b"shade", payload, tuple(encode_headers(envelope)))


def asked(
    action: Approve | Promote, command_id: str, *, actor: str = "bob", revision: int | None = None
) -> StoredRecord:
    command = RegistryCommand(
        command_id=command_id,
        model="shade",
        action=action,
        actor=actor,
        expected_revision=revision,
        issued_at=samples.NOW,
    )
    return record(command.model_dump_json().encode())


def statuses(outgoing: Sequence[Outgoing]) -> dict[str, tuple[str, str | None]]:
    replies = [decode(RegistryReply, out.value or b"") for out in outgoing if out.topic.name == "registry.replies"]
    return {reply.command_id: (reply.status, reply.code) for reply in replies}


def answer(outgoing: Sequence[Outgoing]) -> tuple[str | None, str | None]:
    """Status and code of the only output beside the audit log: a reply, or a dead letter without a status."""
    (only,) = [item for item in outgoing if item.topic is not REGISTRY_EVENTS]
    if only.topic.name == "registry.dead-letters":
        return None, header(only.headers, "ce_code")
    reply = decode(RegistryReply, only.value or b"")
    assert reply.message
    return reply.status, reply.code


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_a_bad_command_is_answered_and_changes_nothing(row: BadCommand, processor: RegistryProcessor) -> None:
    before = processor.state
    assert answer(processor.process([record(row.payload)])) == (row.status, row.code)
    assert (processor.state.models, processor.state.definitions) == (before.models, before.definitions)
    assert processor.state.sequence - before.sequence == (row.code == "unauthorised")  # which the audit log keeps


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_the_same_bad_command_again_gets_the_same_answer(row: BadCommand, processor: RegistryProcessor) -> None:
    first, second = (processor.process([record(row.payload)]) for _ in range(2))
    assert first[-1].value == second[-1].value


def test_among_all_of_them_a_good_command_is_carried_out(processor: RegistryProcessor) -> None:
    records = [record(row.payload) for row in COMMANDS]
    found = statuses(processor.process([*records, asked(Approve(version=WAITING), "good"), *records]))
    assert found["good"] == ("accepted", None)
    assert processor.state.model("shade").versions[WAITING].approved


def test_of_two_promotions_at_once_one_wins(processor: RegistryProcessor) -> None:
    processor.process([asked(Approve(version=number), f"approve-{number}") for number in (WAITING, FURTHER)])
    revision = processor.state.model("shade").revision
    found = statuses(
        processor.process(
            [
                asked(Promote(version=WAITING), "one", revision=revision),
                asked(Promote(version=FURTHER), "two", actor="cyd", revision=revision),
            ]
        )
    )
    assert found == {"one": ("accepted", None), "two": ("refused", "conflict")}
    champion = processor.state.model("shade").champion
    assert champion is not None
    assert champion.number == WAITING
